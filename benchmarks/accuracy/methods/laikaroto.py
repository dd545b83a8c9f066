"""laikaroto itself, through its own commands, in a show made for the purpose.

``truth import``, ``train`` and ``infer`` run as child processes, as a user runs them. With the
oracle ``crop``, the trained model draws with the true head boxes (``Engine.predict(boxes=)``)
and the shot is settled as usual; with ``points``, the true points are settled in its place, so
that what is left is what settling does; with ``pose``, what was predicted is moved to where the
head truly is before it is settled (``true_pose``), so that what is left is no matter of the pose.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.accuracy.footage import Shot
from benchmarks.accuracy.method import Task
from benchmarks.accuracy.true_pose import with_true_pose
from laikaroto.character.template import pack
from laikaroto.errors import LaikarotoError, write_failure
from laikaroto.shapes.records import Roto
from laikaroto.show import Show
from laikaroto.sidecar.schema import read_roto

_LINES = 20  # of a failed command's output that are shown
#: what the oracle ``points`` says the error of its points is: too small to be moved by
_EXACT_PX = 0.01


class Laikaroto:
    """See the module."""

    learns = True
    oracles = frozenset({"crop", "points", "pose"})

    def __init__(self, task: Task) -> None:
        """Take the task."""
        self.task = task
        self.configs = task.folder / "configs"

    def fit(self) -> dict[str, Any]:
        """Make the show, import the truth, train."""
        task = self.task
        self._write_configs()
        files = [str(shot.truth_file) for shot in task.footage.training]
        self._run("truth", "import", task.footage.character, *files)
        result = self._run("train", task.footage.character, "--budget", f"{task.budget_s:g}s")
        return {"model": result["version"], "held_out": result["held_out"]}

    def predict(self, shot: Shot) -> Roto:
        """``infer``, or with an oracle the stages around what the truth replaces."""
        task = self.task
        if task.oracle != "none":
            return self._settle(shot)
        (result,) = self._run("infer", shot.name, "--character", task.footage.character)
        return read_roto(Path(result["folder"]) / "roto.json")

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """None."""
        return ()

    def _write_configs(self) -> None:
        """A show of its own that reads the same plates and learns from these shots only."""
        task, show = self.task, self.task.footage.show
        names = [shot.name for shot in task.footage.training]
        settings = show.configs.show.model_dump(mode="json", include={"fps"})
        settings |= {"name": "benchmark", "root": "../show"}
        for kind in ("plates", "green_card"):
            if (config := getattr(show.configs.show, kind)) is not None:
                template = config.template.replace("{root}", str(show.root))
                settings[kind] = config.model_dump(mode="json") | {"template": template}
        character = show.character(task.footage.character).model_dump(mode="json")
        character["training_shots"] = names
        held_out = character["training"]["validation_shots"]
        character["training"]["validation_shots"] = [n for n in held_out if n in names]
        files = {
            self.configs / "show.yaml": settings,
            self.configs / "characters" / f"{task.footage.character}.yaml": character,
        }
        for path, data in files.items():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(yaml.safe_dump(data), encoding="utf-8")
            except OSError as error:
                raise write_failure(path, error) from error

    def _run(self, *arguments: str) -> Any:
        """What a command says in ``--json``.

        Raises:
            LaikarotoError: it failed; the end of what it said is told.
        """
        command = [sys.executable, "-m", "laikaroto", *arguments]
        command += ["--configs", str(self.configs.resolve()), "--json"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.task.threads)}
        here = str(Path(__file__).parents[3])
        paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        ran = subprocess.run(command, capture_output=True, text=True, env=environment)
        if ran.returncode != 0:
            said = "\n".join((ran.stdout + ran.stderr).splitlines()[-_LINES:])
            raise LaikarotoError(
                f"laikaroto {arguments[0]} ended with exit code {ran.returncode}:\n{said}"
            )
        return json.loads(ran.stdout)

    def _settle(self, shot: Shot) -> Roto:
        from laikaroto.model.engine import Engine
        from laikaroto.model.package import load_package, resolve_version
        from laikaroto.tracking.solve import solve_shot

        show = Show.open(self.configs)
        character = self.task.footage.character
        models = show.models_folder(character)
        package = load_package(models / resolve_version(models, "current"))
        boxes = shot.true_boxes(package.template) if self.task.oracle != "pose" else None
        engine = Engine(package, threads=self.task.threads)
        predictions = engine.predict(shot.frames, shot.read, boxes=boxes)
        if self.task.oracle == "pose":
            if package.prior is None:
                raise LaikarotoError("the model has no shape prior, which tells the pose")
            likely = package.prior.apply(predictions, package.template)
            truth = shot.truth_values(package.template)
            moved = with_true_pose(likely.values, truth, package.prior, package.template)
            predictions = replace(predictions, values=moved)
        if self.task.oracle == "points":
            packed = [pack(shot.truth, package.template, frame) for frame in shot.frames]
            predictions = replace(
                predictions,
                values=np.stack([values for values, _, _ in packed]),
                visible=np.stack([visible for _, visible, _ in packed]).astype(np.float64),
                error_px=np.full(predictions.error_px.shape, _EXACT_PX),
            )
        return solve_shot(
            predictions, package.template, shot=shot.name, plate=shot.truth.plate,
            review=show.character(character).review, provenance={}, prior=package.prior,
            calibration=package.info.calibration,
        )  # fmt: skip
