"""sleap-nn's U-Net for one instance, from scratch, run as a program of its own.

**This adapter has not been run**: sleap-nn was not at hand where it was written. It follows
sleap-nn 0.1's documented commands (``sleap-nn train --config``, ``sleap-nn track``) and its
sample configuration ``single_instance_unet_medium_rf``; take its first results with care.

The interpreter that has sleap-nn is named with ``--sleap-python``; nothing of it is imported
here. Crops go out as PNG, points come back as JSON, both through ``sleap_files.py``, which
runs under that interpreter. Points are the tracking points and the positions of control
points; shapes are made from them as the paper does (``shape_networks``). sleap-nn has no
wall-time budget: it is interrupted at the end of it, and its best checkpoint is used.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.accuracy.fitting import use_threads
from benchmarks.accuracy.footage import Image, Shot
from benchmarks.accuracy.heads import Heads, crop_of, to_plate
from benchmarks.accuracy.method import NotInstalledError, Task, given_boxes
from benchmarks.accuracy.methods.shape_networks import draw_shapes, fit_shapes
from laikaroto.character.template import unpack
from laikaroto.errors import LaikarotoError
from laikaroto.shapes.records import Roto

CROP_PX = 256
_COPIES = 16  # varied copies of each training frame: sleap-nn has no backgrounds or occlusions
_SHARE = 0.9  # of the budget, for sleap-nn
_STOP_S = 120.0  # what it is given to write its checkpoint when interrupted
_LINES = 20
_FILES = Path(__file__).with_name("sleap_files.py")


class SleapNn:
    """See the module."""

    learns = True
    oracles = frozenset({"crop"})

    def __init__(self, task: Task) -> None:
        """Take the task.

        Raises:
            NotInstalledError: no interpreter is named, or it has no sleap-nn.
        """
        python = task.options.get("sleap_python")
        if python is None:
            raise NotInstalledError(
                "not installed: sleap-nn is run with the interpreter named by --sleap-python"
            )
        self.task, self.template, self._python = task, task.footage.template, str(python)
        imported = [self._python, "-c", "import sleap_nn, sleap_io"]
        if subprocess.run(imported, capture_output=True).returncode != 0:
            raise NotInstalledError(f"not installed: {python} cannot import sleap_nn and sleap_io")
        use_threads(task.threads)

    def fit(self) -> dict[str, Any]:
        """Train sleap-nn on crops, then the shapes on the truth."""
        task, folder = self.task, self.task.folder
        heads = Heads(task.footage, CROP_PX)
        seeds = range(_COPIES * len(heads.heads))
        samples = [*heads.as_they_are(), *(heads.sample((task.seed, i)) for i in seeds)]
        pictures = self._write_pictures("train", [sample.image for sample in samples])
        # sleap counts pixel centres at whole numbers
        points = [(sample.values[:, :2] - 0.5).tolist() for sample in samples]
        labels = folder / "train.slp"
        self._files("write", {"pictures": pictures, "points": points, "labels": str(labels)})
        config = folder / "sleap.yaml"
        config.write_text(yaml.safe_dump(_configuration(labels, folder, task.seed)))
        self._train(config, task.budget_s * _SHARE)
        fit_shapes(task, heads, task.budget_s * (1 - _SHARE))
        return {"pictures": len(samples), "program": "sleap-nn"}

    def predict(self, shot: Shot) -> Roto:
        """Every frame by itself."""
        boxes = given_boxes(self.task, shot)
        cut = [crop_of(plate, boxes[frame], CROP_PX) for frame, plate in shot.read()]
        pictures = self._write_pictures(shot.name, [crop for crop, _ in cut])
        labels, drawn = (self.task.folder / f"{shot.name}{end}.slp" for end in ("", ".drawn"))
        self._files("write", {"pictures": pictures, "points": None, "labels": str(labels)})
        model = self.task.folder / "sleap" / "run"
        self._sleap(
            "track", "--data_path", str(labels), "--model_paths", str(model), "--output_path",
            str(drawn), "--device", "cpu",
        )  # fmt: skip
        answer = self.task.folder / f"{shot.name}.points.json"
        self._files("read", {"labels": str(drawn), "frames": len(cut), "answer": str(answer)})
        found = np.array(json.loads(answer.read_bytes()), dtype=np.float64)
        points = np.concatenate([found + 0.5, np.zeros((*found.shape[:2], 4))], axis=-1)
        plate = [to_plate(p, matrix)[:, :2] for p, (_, matrix) in zip(points, cut, strict=True)]
        values = draw_shapes(self.task, np.stack(plate))
        visible = np.ones(values.shape[:2], bool)
        return unpack(self.template, shot.name, shot.truth.plate, shot.frames, values, visible)

    def keyed(self, shot: Shot) -> tuple[int, ...]:
        """None."""
        return ()

    def _write_pictures(self, name: str, crops: Sequence[Image]) -> list[str]:
        folder = self.task.folder / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{i:05d}.png" for i in range(len(crops))]
        for path, crop in zip(paths, crops, strict=True):
            eight_bit = np.round(np.clip(crop * 1.6, 0, 1) * 255).astype(np.uint8)
            cv2.imwrite(str(path), np.ascontiguousarray(eight_bit[..., ::-1]))
        return [str(path.resolve()) for path in paths]

    def _files(self, verb: str, order: dict[str, Any]) -> None:
        """Let ``sleap_files.py`` do something under sleap's interpreter."""
        path = self.task.folder / "order.json"
        path.write_text(json.dumps({"nodes": self.template.point_count, **order}))
        self._check(subprocess.run(
            [self._python, str(_FILES), verb, str(path)], capture_output=True, text=True,
            env=self._environment(),
        ))  # fmt: skip

    def _sleap(self, *arguments: str) -> None:
        program = Path(self._python).with_name("sleap-nn")
        self._check(subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, env=self._environment(),
        ))  # fmt: skip

    def _train(self, config: Path, budget_s: float) -> None:
        program = Path(self._python).with_name("sleap-nn")
        log = self.task.folder / "sleap.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [str(program), "train", "--config", str(config)],
                stdout=stream, stderr=subprocess.STDOUT, env=self._environment(),
            )  # fmt: skip
            try:
                process.wait(budget_s)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if not (self.task.folder / "sleap" / "run" / "best.ckpt").is_file():
            end = "\n".join(log.read_text(errors="replace").splitlines()[-_LINES:])
            raise LaikarotoError(f"sleap-nn left no checkpoint; the end of {log}:\n{end}")

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": str(self.task.threads)}

    def _check(self, ran: subprocess.CompletedProcess[str]) -> None:
        if ran.returncode != 0:
            said = "\n".join((ran.stdout + ran.stderr).splitlines()[-_LINES:])
            raise LaikarotoError(f"{ran.args[:3]} ended with exit code {ran.returncode}:\n{said}")


def _configuration(labels: Path, folder: Path, seed: int) -> dict[str, Any]:
    """The sample configuration for one instance, medium receptive field; no early stop."""
    return {
        "data_config": {
            "train_labels_path": [str(labels)],
            "validation_fraction": 0.1,
            "preprocessing": {"ensure_rgb": True, "scale": 1.0},
            "use_augmentations_train": True,
            "augmentation_config": {
                "geometric": {
                    "rotation_min": -15.0, "rotation_max": 15.0, "scale_min": 0.9,
                    "scale_max": 1.1, "affine_p": 1.0,
                },
            },
        },
        "model_config": {
            "backbone_config": {
                "unet": {
                    "in_channels": 3, "filters": 16, "filters_rate": 2.0, "max_stride": 16,
                    "output_stride": 2,
                },
            },
            "head_configs": {"single_instance": {"confmaps": {"sigma": 2.5, "output_stride": 2}}},
        },
        "trainer_config": {
            "max_epochs": 100000, "min_train_steps_per_epoch": 50, "save_ckpt": True,
            "ckpt_dir": str(folder / "sleap"), "run_name": "run", "seed": seed,
            "trainer_accelerator": "cpu", "optimizer": {"lr": 1e-3},
            "early_stopping": {"stop_training_on_plateau": False},
        },
    }  # fmt: skip
