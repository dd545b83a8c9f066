"""A whole configuration folder, read and checked, every fault of every file told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from laikaroto.config.queue import QueueConfig
from laikaroto.config.show import CharacterConfig, ShowConfig
from laikaroto.config.values import Strict, describe_faults
from laikaroto.errors import ConfigError

_T = TypeVar("_T", bound=Strict)
_N = TypeVar("_N", CharacterConfig, QueueConfig)


class Configs(Strict):
    """A whole configuration folder, read and checked."""

    folder: Path
    show: ShowConfig
    characters: dict[str, CharacterConfig]
    queues: dict[str, QueueConfig]


class _OnceLoader(yaml.SafeLoader):
    """Refuses a setting that stands twice in a file: YAML would take the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"setting {key.value!r} stands here a second time; keep one",
                    key.start_mark,
                )  # fmt: skip
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _read_mapping(path: Path, faults: list[str]) -> dict[str, Any] | None:
    try:
        with path.open(encoding="utf-8") as stream:
            data = yaml.load(stream, Loader=_OnceLoader)
    except OSError as error:
        faults.append(f"{path}: cannot be read: {error.strerror or error}")
        return None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        faults.append(f"{path}: is not YAML: {' '.join(str(error).split())}")
        return None
    if not isinstance(data, dict):
        faults.append(f"{path}: wanted a mapping of settings, got {type(data).__name__}")
        return None
    return data


def _parse(kind: type[_T], path: Path, faults: list[str]) -> _T | None:
    data = _read_mapping(path, faults)
    if data is None:
        return None
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        faults.extend(f"{path}: {line}" for line in describe_faults(error))
        return None


def _read_folder(kind: type[_N], folder: Path, faults: list[str]) -> dict[str, _N]:
    found: dict[str, _N] = {}
    for path in sorted(folder.glob("*.yaml")):
        item = _parse(kind, path, faults)
        if item is None:
            continue
        if item.name != path.stem:
            faults.append(
                f"{path}: name: wanted the file's own name {path.stem!r}, got {item.name!r}"
            )
        found[item.name] = item
    return found


def read_configs(folder: Path) -> Configs:
    """Read and check every file of a configuration folder.

    Raises:
        ConfigError: lists all faults of all files.
    """
    folder = folder.absolute()
    if not (folder / "show.yaml").is_file():
        raise ConfigError(
            f"{folder / 'show.yaml'}: not found; name the configuration folder with --configs or "
            "LAIKAROTO_CONFIGS, or make a new show with 'laikaroto init DIR'"
        )
    faults: list[str] = []
    show = _parse(ShowConfig, folder / "show.yaml", faults)
    characters = _read_folder(CharacterConfig, folder / "characters", faults)
    queues = _read_folder(QueueConfig, folder / "queues", faults)
    if faults or show is None:
        raise ConfigError("\n".join(faults))
    return Configs(folder=folder, show=show, characters=characters, queues=queues)
