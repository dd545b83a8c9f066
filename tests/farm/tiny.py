"""Tiny jobs for tests: steps that run a line of Python, and a queue to run them in."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from laikaroto.farm.bundle import Bundle, JobSettings, new_job_name

STAMP = "import os, sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


def step(
    name: str,
    code: str,
    *args: str,
    needs: tuple[str, ...] = (),
    tasks: str | None = None,
    amounts: Mapping[str, float] | None = None,
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A step that runs ``code``; with ``tasks`` (a range) one task for each number in it."""
    made: dict[str, Any] = {
        "name": name,
        "script": {"actions": {"onRun": {"command": sys.executable, "args": ["-c", code, *args]}}},
    }
    if needs:
        made["dependencies"] = [{"dependsOn": need} for need in needs]
    if tasks:
        made["parameterSpace"] = {
            "taskParameterDefinitions": [{"name": "I", "type": "INT", "range": tasks}]
        }
    if amounts or attributes:
        made["hostRequirements"] = {
            "amounts": [{"name": k, "min": v} for k, v in (amounts or {}).items()],
            "attributes": [{"name": k, "anyOf": [v]} for k, v in (attributes or {}).items()],
        }
        made["hostRequirements"] = {k: v for k, v in made["hostRequirements"].items() if v}
    return made


def job(*steps: dict[str, Any], name: str | None = None, **settings: Any) -> Bundle:
    """A bundle of these steps."""
    name = name or new_job_name("tiny")
    return Bundle(
        template=json.dumps(
            {"specificationVersion": "jobtemplate-2023-09", "name": name, "steps": list(steps)}
        ),
        parameters={},
        settings=JobSettings.model_validate(
            {
                "name": name,
                "key": name,
                "kind": "tiny",
                "show": "test",
                "user": "me",
                "queue": "q",
                "priority": 50,
                "attempts": 3,
                **settings,
            }  # fmt: skip
        ),
    )


def stamp(path: Path, text: str = "{{Task.Param.I}}", **kwargs: Any) -> dict[str, Any]:
    """A step that adds a line to a file."""
    return step(kwargs.pop("name", "stamp"), STAMP, str(path), text, **kwargs)
