"""Every method on every shot. Results are kept, so a run goes on where it stopped.

The output folder::

    request.json                 what is compared; the same folder takes no other request
    runs/<method>/fit.json       how it was learned; with that, it is not learned again
    runs/<method>/<shot>.roto.json, <shot>.json    what it drew, and how long that took
    runs/<method>/<shot>.<oracle>.roto.json …      the same with one stage replaced by the truth
    few_shots/<count>/<method>/… the same with the first training shots only
    table.md, table.json, pictures/, few_shots.svg

A method that fails is told in the table and does not stop the others; it is tried again next
time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.accuracy.figures import Figures, measure
from benchmarks.accuracy.footage import Footage, Shot
from benchmarks.accuracy.method import Method, NotInstalledError, Oracle, Task
from benchmarks.accuracy.methods import METHODS
from laikaroto import __version__
from laikaroto.errors import LaikarotoError, UsageError
from laikaroto.plate.sequence import digest_sequence
from laikaroto.shapes.records import Roto
from laikaroto.sidecar.files import write_file
from laikaroto.sidecar.schema import read_roto, write_roto

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is compared: everything that a result depends on, besides the code."""

    character: str
    training: tuple[str, ...]
    evaluation: tuple[str, ...]
    budget_s: float
    threads: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON data."""
        names = self.__dataclass_fields__
        return {n: list(v) if isinstance(v := getattr(self, n), tuple) else v for n in names}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result:
    """One row of the table: why there are no figures, or the figures by shot.

    ``notes`` are those of ``Method.fit`` with ``fit_s``, the wall time it took to learn;
    ``predict_s`` by shot.
    """

    method: str
    oracle: Oracle
    learns: bool
    failure: str | None
    notes: dict[str, Any]
    predict_s: dict[str, float]
    rotos: dict[str, Roto]
    figures: dict[str, Figures]

    @property
    def title(self) -> str:
        """Name in the table."""
        return self.method if self.oracle == "none" else f"{self.method}, true {self.oracle}"


def open_output(out: Path, request: Request, footage: Footage) -> None:
    """Make the output folder, or check that it is of the same request and the same pictures.

    Raises:
        UsageError: it is of another; the differences are named.
        TryAgainError: the disk refuses.
    """
    shots = [*footage.training, *footage.evaluation]
    wanted = request.to_dict() | {
        "plates": {shot.name: digest_sequence(shot.sequence, shot.frames) for shot in shots},
        "truth": {shot.name: _digest(shot.truth_file) for shot in shots},
    }
    path = out / "request.json"
    if path.is_file():
        there = json.loads(path.read_bytes())
        if differs := sorted(n for n in wanted | there if wanted.get(n) != there.get(n)):
            said = "; ".join(f"{n}: {there.get(n)} there, {wanted.get(n)} asked" for n in differs)
            raise UsageError(f"{out} holds results of another request ({said}); name another --out")
        return
    write_file(path, _json(wanted))


def run_methods(
    names: Sequence[str],
    footage: Footage,
    request: Request,
    folder: Path,
    *,
    oracles: Sequence[Oracle] = (),
    options: dict[str, Any],
    only_kept: bool = False,
    say: Say,
) -> list[Result]:
    """Run the methods that have no kept result yet, and measure all.

    Args:
        names: of ``METHODS``, in the order of the table.
        footage: what to learn from, and to draw.
        request: budget, threads, seed.
        folder: ``runs`` of the output folder, or one of few shots.
        oracles: further rows of each method that can be given the truth of these stages; what
            it has learned is used again.
        options: settings of single methods.
        only_kept: run nothing; what has no result is told as a failure.
        say: told what is going on.
    """
    results = []
    for name in names:
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        for oracle in ("none", *oracles):
            task = Task(
                footage=footage,
                budget_s=request.budget_s,
                threads=request.threads,
                folder=own,
                seed=request.seed,
                oracle=oracle,
                report=_report(name, say),
                options=options,
            )
            if (found := _run(name, task, only_kept=only_kept, say=say)) is not None:
                results.append(found)
    return results


def _run(name: str, task: Task, *, only_kept: bool, say: Say) -> Result | None:
    """None: the method has no stage that the truth asked for could replace."""
    failure, learns = None, True
    try:
        method = METHODS[name](task)
        learns = method.learns
        if task.oracle != "none" and task.oracle not in method.oracles:
            return None
        if not only_kept:
            _fit_and_predict(name, method, task, say)
    except NotInstalledError as error:
        if task.oracle != "none":
            return None  # said once, in the method's own row
        failure = str(error)
    except (LaikarotoError, RuntimeError, MemoryError, ValueError, OSError) as error:
        failure = f"failed: {error}"
    if failure:
        say(f"{name}: {failure}")
    return _read_result(name, task, failure=failure, learns=learns)


def _fit_and_predict(name: str, method: Method, task: Task, say: Say) -> None:
    folder = task.folder
    missing = [shot for shot in task.footage.evaluation if not _kept(task, shot)]
    if missing and not (folder / "fit.json").is_file():
        say(f"{name}: learns")
        started = time.monotonic()
        notes = method.fit()
        notes |= {"fit_s": round(time.monotonic() - started, 1), "laikaroto": __version__}
        write_file(folder / "fit.json", _json(notes))
    for shot in missing:
        say(f"{name}: draws {shot.name}")
        started = time.monotonic()
        roto = method.predict(shot)
        spent = round(time.monotonic() - started, 2)
        drawing, notes_file = _files(task, shot)
        write_roto(drawing, replace(roto, version=name))
        write_file(notes_file, _json({"predict_s": spent, "keyed": list(method.keyed(shot))}))


def _files(task: Task, shot: Shot) -> tuple[Path, Path]:
    """Where a drawing and its notes are kept; the notes are written last."""
    stem = shot.name if task.oracle == "none" else f"{shot.name}.{task.oracle}"
    return task.folder / f"{stem}.roto.json", task.folder / f"{stem}.json"


def _kept(task: Task, shot: Shot) -> bool:
    return all(path.is_file() for path in _files(task, shot))


def _read_result(name: str, task: Task, *, failure: str | None, learns: bool) -> Result:
    rotos, figures, spent = {}, {}, {}
    for shot in task.footage.evaluation:
        if not _kept(task, shot):
            failure = failure or "no result is kept; run it without --table-only"
            continue
        drawing, notes_file = _files(task, shot)
        notes = json.loads(notes_file.read_bytes())
        rotos[shot.name] = read_roto(drawing)
        figures[shot.name] = measure(
            rotos[shot.name], shot, task.footage.template, keyed=notes["keyed"]
        )
        spent[shot.name] = notes["predict_s"]
    fit = task.folder / "fit.json"
    return Result(
        method=name,
        oracle=task.oracle,
        learns=learns,
        failure=failure,
        notes=json.loads(fit.read_bytes()) if fit.is_file() else {},
        predict_s=spent,
        rotos=rotos,
        figures=figures,
    )


def _report(name: str, say: Say) -> Callable[[float, str], None]:
    """Passes on what a method reports, every ten seconds at most."""
    last = 0.0

    def report(fraction: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 10:
            last = time.monotonic()
            say(f"{name}: {fraction:.0%} {text}")

    return report


def _digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def _json(data: Any) -> bytes:
    return (json.dumps(data, indent=1) + "\n").encode()
