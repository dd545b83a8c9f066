"""A show: its configuration, and where every one of its files lies.

The only module that fills in path templates. Names are checked before they become paths.
"""

from __future__ import annotations

import glob
import re
import string
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from laikaroto.config import (
    CharacterConfig,
    Configs,
    QueueConfig,
    check_name,
    current_user,
    read_configs,
)
from laikaroto.errors import UsageError

_C = TypeVar("_C", CharacterConfig, QueueConfig)
_VERSION = re.compile(r"v\d{3,}")


def check_version(version: str) -> str:
    """Return ``version`` if it reads ``v001``, ``v002`` …; else raise UsageError."""
    if not _VERSION.fullmatch(version):
        raise UsageError(f"version {version!r} is not of the form v001")
    return version


@dataclass(frozen=True, slots=True)
class Show:
    """Paths of one show. All paths are absolute."""

    configs: Configs

    @classmethod
    def open(cls, folder: Path | str) -> Show:
        """Read a configuration folder; raises ConfigError with every fault in it."""
        return cls(read_configs(Path(folder)))

    @property
    def root(self) -> Path:
        """Where the show's files lie: ``root`` of show.yaml, from the configuration folder."""
        return _resolve(self.configs.folder, self.configs.show.root)

    def character(self, name: str) -> CharacterConfig:
        """Settings of a character; raises UsageError if there is no such file."""
        return _pick(self.configs.characters, name, "character", self.configs.folder)

    def queue(self, name: str) -> QueueConfig:
        """Settings of a queue; raises UsageError if there is no such file."""
        return _pick(self.configs.queues, name, "queue", self.configs.folder)

    def queue_state(self, name: str) -> Path:
        """Folder where the engine of a queue keeps its state."""
        state = self.queue(name).state.format(root=self.root, user=current_user())
        return Path(state) / name

    def plate_template(self, shot: str, *, green_card: bool = False) -> str:
        """Path of a shot's plates with only the ``{frame}`` field left to fill in."""
        plates = self.configs.show.plates
        if green_card:
            if self.configs.show.green_card is None:
                raise UsageError("show.yaml names no green_card plates")
            plates = self.configs.show.green_card
        check_name(shot, "shot")
        root, name = (str(part).replace("{", "{{").replace("}", "}}") for part in (self.root, shot))
        return re.sub(
            r"\{(root|shot)[^}]*\}", lambda m: root if m[1] == "root" else name, plates.template
        )

    def truth_file(self, character: str, shot: str) -> Path:
        """Where the training set keeps the ground truth of a shot."""
        return self._path(self.configs.show.truth, character=character, shot=shot)

    def truth_shots(self, character: str) -> tuple[str, ...]:
        """Shots of the training set, sorted: the configured ones, or all imported ones."""
        if chosen := self.character(character).training_shots:
            return tuple(sorted(chosen))
        pattern = self.truth_file(character, "SHOT")
        if "SHOT" in pattern.name:
            before, _, after = pattern.name.partition("SHOT")
            names = [p.name for p in pattern.parent.glob(f"{before}*{after}")]
            return tuple(sorted(name[len(before) : len(name) - len(after)] for name in names))
        folder = next(part for part in pattern.parents if part.name == "SHOT").parent
        tail = pattern.relative_to(folder / "SHOT")
        return tuple(sorted(p.name for p in folder.glob("*") if (p / tail).is_file()))

    def template_file(self, character: str) -> Path:
        """The character's template: names of its points and shapes."""
        return self.models_folder(character) / "template.json"

    def renders_folders(self, character: str) -> tuple[Path, ...]:
        """Folders of a character's rendered heads."""
        folders = self.character(character).training.renders.folders
        return tuple(Path(folder.format(root=self.root)) for folder in folders)

    def published_shots(self, character: str) -> tuple[str, ...]:
        """Shots of which something of this character lies where versions are published, sorted."""
        check_name(character, "character")
        pattern = str(Path(self.configs.show.sidecars).parent)
        root = str(self.root)
        names = {"root": re.escape(root), "character": re.escape(character)}
        expression = ""
        for text, field, _, _ in string.Formatter().parse(pattern):
            expression += re.escape(text)
            if field == "shot":
                expression += "(?P=shot)" if "(?P<shot>" in expression else "(?P<shot>[^/]+)"
            elif field is not None:
                expression += names[field]
        wild = pattern.format(root=glob.escape(root), shot="*", character=character)
        found = (re.fullmatch(expression, path) for path in glob.glob(wild))
        return tuple(sorted(match["shot"] for match in found if match))

    def models_folder(self, character: str) -> Path:
        """Folder of a character's model packages."""
        return self._path(self.configs.show.models, character=character)

    def sidecar_folder(self, shot: str, character: str, version: str) -> Path:
        """Folder of one published version."""
        return self._path(
            self.configs.show.sidecars, shot=shot, character=character, version=version
        )

    def corrections_file(self, shot: str, character: str) -> Path:
        """What artists corrected in a shot: beside its versions, outside all of them."""
        return self.sidecar_folder(shot, character, "v001").parent / "corrections.jsonl"

    def corrected_shots(self, character: str) -> tuple[str, ...]:
        """Shots of a character that have a corrections file, sorted."""
        token = "any-shot-of-this-show"
        wanted = self.corrections_file(token, character)
        parts = wanted.relative_to(wanted.anchor).as_posix().split(token)
        first, *others = re.escape(str(wanted)).split(re.escape(token))
        relative = "*".join(glob.escape(part) for part in parts)
        pattern = re.compile(first + r"(?P<shot>[^/]+)" + "(?P=shot)".join(others))
        found = (pattern.fullmatch(str(path)) for path in Path(wanted.anchor).glob(relative))
        return tuple(sorted(match["shot"] for match in found if match is not None))

    def review_folder(self, shot: str, character: str, version: str) -> Path:
        """Folder of the review page of one published version."""
        return self._path(
            self.configs.show.reviews, shot=shot, character=character, version=version
        )

    def work_folder(self, *parts: str) -> Path:
        """Folder for intermediate files; each part is checked as a name."""
        base = Path(self.configs.show.work.format(root=self.root))
        return base.joinpath(*(check_name(part, "work folder") for part in parts))

    def _path(self, template: str, **names: str) -> Path:
        for kind, name in names.items():
            check_name(name, kind)
        return Path(template.format(root=self.root, **names))


@cache
def _resolve(folder: Path, root: str) -> Path:
    # asked for with every path of a show: once is enough
    return (folder / root).resolve()


def _pick(known: dict[str, _C], name: str, kind: str, folder: Path) -> _C:
    check_name(name, kind)
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise UsageError(
            f"unknown {kind} {name!r}; known: {there}. A {kind} is a file "
            f"{folder / (kind + 's') / (name + '.yaml')}"
        )
    return known[name]
