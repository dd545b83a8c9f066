"""Listing the steps of many jobs at once gives what planning each of them gives."""

from __future__ import annotations

from typing import Any

import pytest

from laikaroto.errors import ConfigError
from laikaroto.farm import plan
from laikaroto.farm.bundle import Bundle, job_template
from laikaroto.farm.plan import Planner, plan_job
from tests.farm.tiny import job, step


def shot(name: str, **changes: str | int) -> Bundle:
    parameters: dict[str, str | int] = {
        "JobName": f"job-{name}", "Python": "/python", "Configs": "/configs", "Run": f"/{name}",
        "Shot": name, "Character": "hero", "Frames": "1001-1030", "FramesPerTask": 10, **changes,
    }  # fmt: skip
    return Bundle(
        template=job_template("infer_shot"), parameters=parameters,
        settings=job(step("s", "pass"), name=f"job-{name}").settings,
    )  # fmt: skip


def test_jobs_that_differ_in_names_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []

    def count(bundle: Bundle, *, where: str) -> Any:
        planned.append(where)
        return plan_job(bundle, where=where)

    monkeypatch.setattr(plan, "plan_job", count)
    planner = Planner()
    bundles = [
        shot("a"), shot("b"), shot("c", Frames="1001-1012"), shot("d", FramesPerTask=15),
        shot("e", Frames="1001-1012"), shot("f", Model="v003"),
    ]  # fmt: skip
    for bundle in bundles:
        found = planner.outline(bundle, where=bundle.settings.name).steps
        assert found == plan_job(bundle, where="alone").steps
    assert planned == ["job-a", "job-c", "job-d"]


def test_every_job_has_its_own_values_checked() -> None:
    planner = Planner()
    planner.outline(shot("a"), where="job a")
    with pytest.raises(ConfigError, match="job b: template.yaml or its parameter values"):
        planner.outline(shot("b", Shot=""), where="job b")
    with pytest.raises(ConfigError, match="Nonsense"):
        planner.outline(shot("c", Nonsense="1"), where="job c")


def test_what_engines_do_not_run_is_refused() -> None:
    strange = job(step("s", "pass"))
    text = strange.template.replace(
        '"steps"', '"jobEnvironments": [{"name": "e", "variables": {"A": "1"}}], "steps"'
    )
    bundle = Bundle(template=text, parameters={}, settings=strange.settings)
    with pytest.raises(ConfigError, match="environments"):
        Planner().outline(bundle, where="job x")
