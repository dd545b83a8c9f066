"""One attempt at a task: the OpenJD session it runs in, its environment, its log, its ending.

What every engine that runs tasks by our own processes has in common: the slots of the local
engine and the runner of the others (``farm.runner``).
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from laikaroto.farm.bundle import Bundle
from laikaroto.farm.places import OWNER_ONLY
from laikaroto.farm.plan import JobPlan
from laikaroto.farm.processes import MARK
from laikaroto.farm.secrecy import masked, secret_values

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LAIKAROTO_THREADS")
_NOTIFY_S = 120.0  # Open Job Description's own default for a task


def tethered(bundle: Bundle) -> Bundle:
    """The same job with every command started through ``setpriv --pdeathsig`` where there is one.

    Then Linux itself kills a payload whose slot or runner is killed with -9.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return bundle
    template = yaml.safe_load(bundle.template)
    for step in template["steps"]:
        action = step["script"]["actions"]["onRun"]
        rest = action.get("args") or ()
        action["args"] = ["--pdeathsig", "KILL", "--", action["command"], *rest]
        action["command"] = setpriv
    return Bundle(
        template=yaml.safe_dump(template, sort_keys=False),
        parameters=bundle.parameters,
        settings=bundle.settings,
    )


def open_session(
    job: str, plan: JobPlan, *, folder: Path, callback: Callable[[str, Any], None]
) -> Any:
    """A new OpenJD session for tasks of a job.

    Args:
        job: name of the job.
        plan: the job.
        folder: where its working folder is made.
        callback: told of the state of the running action, on a thread of its own.
    """
    from openjd.model import RevisionExtensions, SpecificationRevision
    from openjd.sessions import Session

    return Session(
        session_id=job,
        job_parameter_values=plan.values,
        callback=callback,
        session_root_directory=folder,
        revision_extensions=RevisionExtensions(
            spec_rev=SpecificationRevision.v2023_09, supported_extensions=list(plan.extensions)
        ),
    )


def start_task(
    session: Any,
    plan: JobPlan,
    step: str,
    parameters: Mapping[str, str],
    environment: Mapping[str, str],
) -> None:
    """Start a task in a session; the session's callback hears of its progress and end."""
    model = step_model(plan, step)
    session.run_task(
        step_script=model.script,
        task_parameter_values=_task_values(model, parameters),
        os_env_vars=dict(environment),
        log_task_banner=False,
        step_name=model.name,
    )


def step_model(plan: JobPlan, step: str) -> Any:
    """The record of openjd-model of one step."""
    return next(model for model in plan.job.steps if model.name == step)


def grace_s(plan: JobPlan, step: str) -> float:
    """Time between a polite SIGTERM and SIGKILL that a step asks for; 0 if it does not."""
    action = step_model(plan, step).script.actions.onRun
    cancelation = action.cancelation
    if cancelation is None or "NOTIFY" not in str(getattr(cancelation.mode, "value", "")):
        return 0.0
    period = cancelation.notifyPeriodInSeconds
    return _NOTIFY_S if period is None else float(str(period))


def environment_of(
    *, mark: str, attempt: int, threads: int, lease: Path | None = None
) -> dict[str, str]:
    """What a task finds in its environment besides that of the process that runs it.

    Args:
        mark: by which its processes are found, see ``farm.processes``.
        attempt: number of the attempt, from 1.
        threads: CPU threads it may use.
        lease: file that appears once a later attempt has begun; see ``worker.lease``.
    """
    return {
        **dict.fromkeys(_THREADS, str(threads)),
        "LAIKAROTO_ATTEMPT": str(attempt),
        "PYTHONUNBUFFERED": "1",
        MARK: mark,
        **({} if lease is None else {"LAIKAROTO_NEXT_ATTEMPT": str(lease)}),
    }


def ending_text(status: Any) -> str:
    """One line that says how a payload ended."""
    code = status.exit_code or 0
    if code == 0:
        return told(status.status_message)
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{how}: {told(status.fail_message)}" if status.fail_message else how


def told(message: str | None) -> str:
    """What a payload said of itself (``openjd_status``, ``openjd_fail``), secrets masked.

    It goes into records, notices and the farm's own log, as its output goes into its log.
    """
    return masked(message or "", secret_values())


def _task_values(step: Any, parameters: Mapping[str, str]) -> dict[str, Any]:
    from openjd.model import ParameterValue, ParameterValueType

    if step.parameterSpace is None:
        return {}
    definitions = step.parameterSpace.taskParameterDefinitions
    return {
        name: ParameterValue(type=ParameterValueType(definitions[name].type.value), value=value)
        for name, value in parameters.items()
    }


# ---- its log -------------------------------------------------------------------------------


def open_log(path: Path, title: str) -> logging.Handler:
    """Write what OpenJD and the payload say to a file of its own, until ``close_log``.

    The file is readable for its owner only; secrets of the environment are masked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY))
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    send_log(handler, "%(asctime)s %(message)s")
    say(title)
    return handler


def send_log(handler: logging.Handler, form: str) -> None:
    """Give a handler what OpenJD and the payload say, secrets of the environment masked."""
    from openjd.sessions import LOG

    handler.setFormatter(_Masking(secret_values(), form))
    handler.addFilter(_readable)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def say(line: str) -> None:
    """Add a line of our own to the log."""
    from openjd.sessions import LOG

    LOG.info("%s", line)


def close_log(handler: logging.Handler, last: str) -> None:
    """End a log with one more line."""
    from openjd.sessions import LOG

    say(last)
    LOG.removeHandler(handler)
    handler.close()


class _Masking(logging.Formatter):
    def __init__(self, secrets: tuple[str, ...], form: str) -> None:
        super().__init__(form, "%H:%M:%S")
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record), self._secrets)


def _readable(record: logging.LogRecord) -> bool:
    """Keep all a payload prints; of OpenJD's own lines leave out banners and versions."""
    from openjd.sessions import LogContent

    content = getattr(record, "openjd_log_content", None)
    if content is not None and LogContent.COMMAND_OUTPUT in content:
        return True
    text = record.getMessage()
    return bool(text.strip("=- ")) and not text.startswith(_NOISE)


_NOISE = (
    "----", "Command started", "Deleting working", "Initializing Open", "Installed at:",
    "Output:", "Parameter values:", "Phase:", "Platform:", "Process pid", "Python ",
    "Running command", "Session Cleanup", "Session Working", "Session's Embedded", "openjd.",
)  # fmt: skip
