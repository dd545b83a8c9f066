"""Whom the end of a job is told to: by real servers, whatever dies in between."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from laikaroto.bundled import bundled
from laikaroto.config import NotifySettings, QueueConfig
from laikaroto.farm.engine import JobState
from laikaroto.farm.notices import NoticeError, deliver, document, next_try
from tests.farm.endpoints import Hook, hook, post_office
from tests.farm.tiny import LocalFarm, free_ports, hold, job, lines, stamp, step, until

SECRET = "hush-hush-hush"
BODY = document(
    end="j:failed:1.000", job="j", queue="q", kind="shot", state="failed", show="ev", user="anna",
    parameters={"Shot": "ev100", "Character": "hero"}, submitted=1.0, started=2.0, ended=3.0,
    tasks={"succeeded": 3, "failed": 1}, failed=[("predict/3", "no plate 1007")],
)  # fmt: skip
QUICK = "from laikaroto.farm import notices; notices._DELAY_S = 0.05\nledger.RETRY_DELAY_S = 0.05\n"


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as found:
        yield found


def webhook(url: str, **more: Any) -> NotifySettings:
    return NotifySettings.model_validate({"webhook": {"url": url, **more}})


def fault(settings: NotifySettings, channel: str = "webhook") -> NoticeError:
    with pytest.raises(NoticeError) as raised:
        deliver(channel, settings, BODY)
    return raised.value


def test_webhook_gets_the_document_and_the_token(server: Hook, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    deliver("webhook", webhook(server.url, token=f"file:{tmp_path / 'token'}"), BODY)
    assert server.posted == [BODY]
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert server.headers[0]["Idempotency-Key"] == "j:failed:1.000"
    assert BODY["shot"] == "ev100" and BODY["failed"][0]["task"] == "predict/3"


@pytest.mark.parametrize(
    ("code", "again"), [(500, True), (503, True), (429, True), (404, False), (302, False)]
)
def test_answers_that_are_no_success(server: Hook, code: int, again: bool) -> None:
    server.answers = [code]
    error = fault(webhook(server.url))
    assert str(code) in str(error) and error.again is again
    assert not server.posted  # a redirect is not followed


def test_nobody_there_and_nobody_who_answers(server: Hook) -> None:
    assert fault(webhook(f"http://127.0.0.1:{free_ports(1)[0]}/")).again
    server.answers = [0]
    error = fault(webhook(server.url, timeout="0.2s"))
    assert error.again and "timed out" in str(error)


def test_secrets_are_in_no_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{free_ports(1)[0]}/{SECRET}")
    assert SECRET not in str(fault(webhook("env:HOOK")))
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:1/ {SECRET}")
    assert SECRET not in str(fault(webhook("env:HOOK")))
    monkeypatch.setenv("TOKEN", f"{SECRET}\nX-Evil: 1")
    error = fault(webhook("http://127.0.0.1:1/", token="env:TOKEN"))
    assert SECRET not in str(error)
    assert "there is no such environment variable" in str(fault(webhook("env:NOT_THERE")))
    assert fault(webhook(f"file:{tmp_path / 'none'}")).again
    with pytest.raises(ValidationError):  # a secret is not written into the file
        webhook("http://127.0.0.1/", token=SECRET)


def test_mail_arrives_and_refusal_is_final() -> None:
    with post_office() as (inbox, port):
        mail = {"to": ["{user}@film.example", "td@film.example"], "host": "127.0.0.1",
                "port": port, "sender": "farm@film.example"}  # fmt: skip
        deliver("email", NotifySettings.model_validate({"email": mail}), BODY)
        (letter,) = inbox.letters
        assert letter.rcpt_tos == ["anna@film.example", "td@film.example"]
        assert isinstance(letter.content, bytes)
        read = message_from_bytes(letter.content)
        assert read["Subject"] == "j: failed" and read["Message-ID"].startswith("<j.failed.1.000@")
        assert "predict/3: no plate 1007" in str(read.get_payload())
        mail["to"] = ["nobody@film.example"]
        error = fault(NotifySettings.model_validate({"email": mail}), "email")
        assert not error.again and "550" in str(error)
    assert fault(NotifySettings.model_validate({"email": mail}), "email").again


def test_the_example_in_the_queue_file_is_right() -> None:
    text = (bundled("configs") / "queues" / "local.yaml").read_text()
    block = [line[1:] for line in text.splitlines() if line.startswith("#  ")]
    notify = NotifySettings.model_validate(yaml.safe_load("\n".join(block)))
    assert notify.webhook is not None and notify.email is not None
    assert notify.email.to == ("{user}@film.example",)


def test_tries_are_bounded() -> None:
    passing, final = NoticeError("x", again=True), NoticeError("x", again=False)
    waits = [next_try(tries, 0.0, passing) for tries in range(1, 7)]
    assert waits == [10.0, 40.0, 160.0, 640.0, 2560.0, None]
    assert next_try(1, 0.0, final) is None


def test_deadline_refuses_what_it_cannot_do() -> None:
    ids = {"farm_id": "farm-" + "0" * 32, "queue_id": "queue-" + "0" * 32}
    with pytest.raises(ValidationError, match="EventBridge"):
        QueueConfig.model_validate({
            "name": "q", "engine": "deadline", "deadline": ids,
            "notify": {"webhook": {"url": "http://x"}},
        })  # fmt: skip
    with pytest.raises(ValidationError, match="wanted webhook, email or both"):
        NotifySettings()


# ---- a local farm --------------------------------------------------------------------------


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[LocalFarm]:
    made = LocalFarm(tmp_path)
    yield made
    made.end()


def notified(server: Hook, *steps: Any, timeout: str = "60s", **more: Any) -> Any:
    return job(*steps, notify={"webhook": {"url": server.url, "timeout": timeout}}, **more)


def test_each_end_is_told_once_and_again_if_it_failed(
    farm: LocalFarm, server: Hook, tmp_path: Path
) -> None:
    server.answers = [500, 503]
    cause = tmp_path / "mended"
    code = "import os, sys; sys.exit(0 if os.path.exists(sys.argv[1]) else 1)"
    farm.start(QUICK)
    (failed,) = farm.run(notified(server, step("s", code, str(cause))))
    until(lambda: len(server.posted) == 1, "told in the end")
    cause.touch()
    farm.engine.retry(failed.name)
    farm.engine.wait([failed.name], timeout_s=180)
    until(lambda: len(server.posted) == 2, "the second end is told")
    told = [body["state"] for body in server.posted]
    assert told == ["failed", "succeeded"] and len(set(server.ids())) == 2
    assert server.posted[0]["failed"] == [{"task": "s/0", "message": "exit code 1"}]
    until(lambda: {n.state for n in farm.engine.status(failed.name).notices} == {"sent"}, "noted")
    assert [n.tries for n in farm.engine.status(failed.name).notices] == [3, 1]


def test_dead_endpoint_does_not_stall_the_farm(
    farm: LocalFarm, server: Hook, tmp_path: Path
) -> None:
    server.answers = [0] * 5  # accepts, and never answers
    out = tmp_path / "out"
    farm.start(QUICK)
    jobs = [notified(server, stamp(out, str(number)), timeout="5s") for number in range(5)]
    done = farm.run(*jobs)
    assert {status.state for status in done} == {JobState.SUCCEEDED}
    assert len(lines(out)) == 5 and not server.posted


def test_end_is_told_after_the_supervisor_was_killed(
    farm: LocalFarm, server: Hook, tmp_path: Path
) -> None:
    farm.start("supervisor.Supervisor._tell = lambda *_: None")  # it never gets so far
    (done,) = farm.run(notified(server, stamp(tmp_path / "out", "x")))
    farm.end(signal.SIGKILL)
    assert not server.posted
    farm.start(QUICK)
    until(lambda: server.posted, "told by the next one")
    farm.run(job(stamp(tmp_path / "out", "y")))
    assert [body["job"] for body in server.posted] == [done.name]


def test_job_that_is_cancelled_while_no_farm_runs_is_told_later(
    farm: LocalFarm, server: Hook, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    name = farm.engine.submit(notified(server, hold(tmp_path / "started", gate))).job
    farm.engine.cancel(name)
    assert not server.posted
    farm.start()
    until(lambda: server.posted, "told")
    assert server.posted[0]["state"] == "cancelled" and server.posted[0]["job"] == name


def test_only_the_wanted_ends(farm: LocalFarm, server: Hook, tmp_path: Path) -> None:
    farm.start()
    bundle = job(
        stamp(tmp_path / "out", "x"), notify={"when": ["failed"], "webhook": {"url": server.url}}
    )
    (done,) = farm.run(bundle)
    assert done.state is JobState.SUCCEEDED
    assert farm.engine.status(done.name).notices == ()
