"""Jobs that are over are remembered, until somebody touches them."""

from __future__ import annotations

from pathlib import Path

from laikaroto.farm.engine import JobState, JobStatus, StepStatus, TaskState, Total
from laikaroto.farm.outcome import Outcome
from laikaroto.farm.places import job_folder
from laikaroto.farm.records import Attempt
from laikaroto.farm.seen import Seen, stamp_of
from laikaroto.farm.steering import Steering, write_steering

ATTEMPTS = {
    "s": {
        0: (
            Attempt(number=1, token="t", host="h", pid=1, farm_id="", started=1.0, ended=3.0,
                    outcome=Outcome.LOST),
            Attempt(number=2, token="u", host="h", pid=1, farm_id="", started=4.0, ended=9.0,
                    outcome=Outcome.EXITED, exit_code=0),
            Attempt(number=3, token="v", host="h", pid=1, farm_id="", started=4.0),
        )
    }
}  # fmt: skip
TOTALS = {
    Total(kind="shot", step="s", result="lost", number=1, seconds=2.0),
    Total(kind="shot", step="s", result="succeeded", number=1, seconds=5.0),
}


def over(state: Path, name: str) -> JobStatus:
    """A job that is over, with the file that says what people want of it."""
    folder = job_folder(state, name)
    folder.mkdir(parents=True)
    write_steering(folder, Steering(priority=50))
    step = StepStatus(name="s", needs=("r",), counts={TaskState.SUCCEEDED: 2}, progress=1.0)
    return JobStatus(
        name=name, queue="q", kind="shot", state=JobState.SUCCEEDED, reason="", show="ev",
        user="me", priority=50, attempts=3, not_before=None, submitted=1.0, started=2.0,
        ended=3.0, needs=("other",), steps=(step,), parameters={"Shot": "ev100"},
    )  # fmt: skip


def test_what_is_remembered_is_found_again_until_it_is_steered(tmp_path: Path) -> None:
    status = over(tmp_path, "a")
    seen = Seen(tmp_path)
    assert seen.status("a") is None
    seen.remember(status, ATTEMPTS, stamp_of(tmp_path, "a"))
    seen.write()
    again = Seen(tmp_path)
    assert again.status("a") == status and set(again.totals()) == TOTALS
    write_steering(job_folder(tmp_path, "a"), Steering(priority=50))  # the same, but touched
    assert Seen(tmp_path).status("a") is None


def test_attempts_of_jobs_that_were_cleared_away_stay_counted(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    for name in ("a", "b"):
        seen.remember(over(tmp_path, name), ATTEMPTS, stamp_of(tmp_path, name))
    seen.forget_all_but(["b"])
    seen.write()
    again = Seen(tmp_path)
    assert again.status("a") is None and again.status("b") is not None
    assert sorted(total.number for total in again.totals()) == [2, 2]


def test_a_damaged_cache_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text('{"schema"')
    assert Seen(tmp_path).totals() == ()
