"""Telling somebody that a job has ended: what is said, and how it is sent.

The webhook gets one HTTP POST with a JSON document (``document``), people get one e-mail. The
same end always has the same ``id``, also sent as ``Idempotency-Key`` and as ``Message-ID``: a
process that is killed between sending and noting that it has sent sends again, and the receiver
can tell. Secrets are named by where they lie, ``env:NAME`` or ``file:PATH``, read when they are
used, and appear in no message of ours.
"""

from __future__ import annotations

import http.client
import json
import os
import smtplib
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from laikaroto.config import MailSettings, NotifySettings, WebhookSettings, parse_duration
from laikaroto.farm.secrecy import masked, secret_values

SCHEMA = "laikaroto.notice/1"
TRIES = 6
_DELAY_S = 10.0  # before the second try; then four times as long: 10 s, 40 s … 43 min
_FAILED_TASKS = 10
CHANNELS = ("webhook", "email")
"""Ways to tell somebody."""


class NoticeError(Exception):
    """A notice could not be delivered. ``again``: it may be, later. It is always noted."""

    def __init__(self, text: str, *, again: bool) -> None:
        """Say what is wrong, without secrets, and whether it may pass."""
        super().__init__(text)
        self.again = again


def channels(notify: NotifySettings, state: str) -> tuple[str, ...]:
    """By which ways the end of a job in this state is to be told."""
    if state not in notify.on:
        return ()
    return tuple(name for name in CHANNELS if getattr(notify, name) is not None)


def document(
    *, end: str, job: str, queue: str, kind: str, state: str, show: str, user: str,
    parameters: Mapping[str, str], submitted: float, started: float | None, ended: float | None,
    tasks: Mapping[str, int], failed: Sequence[tuple[str, str]],
) -> dict[str, Any]:  # fmt: skip
    """What a webhook gets.

    Args:
        end: identifies this end of this job.
        job: name of the job; so are the next five what ``jobs show`` says.
        queue: see ``job``.
        kind: see ``job``.
        state: ``succeeded``, ``failed`` or ``cancelled``.
        show: see ``job``.
        user: see ``job``.
        parameters: job parameters, of which shot and character are told.
        submitted: seconds since 1970.
        started: likewise; None if nothing of it ever ran.
        ended: likewise.
        tasks: number of tasks in each state.
        failed: name and message of failed tasks.
    """
    secrets = secret_values()
    return {
        "schema": SCHEMA, "id": end, "job": job, "queue": queue, "kind": kind, "state": state,
        "show": show, "user": user, "shot": parameters.get("Shot"),
        "character": parameters.get("Character"), "submitted": submitted, "started": started,
        "ended": ended, "tasks": dict(tasks),
        "failed": [
            {"task": task, "message": masked(message, secrets)[:500]}
            for task, message in failed[:_FAILED_TASKS]
        ],
    }  # fmt: skip


def deliver(channel: str, notify: NotifySettings, body: Mapping[str, Any]) -> None:
    """Send one notice by one way; returns once the other side has taken it.

    Raises:
        NoticeError: it has not.
    """
    if channel == "webhook" and notify.webhook is not None:
        _post(notify.webhook, body)
    elif channel == "email" and notify.email is not None:
        _mail(notify.email, body)


def next_try(tries: int, now: float, error: NoticeError) -> float | None:
    """When a notice that failed so many times is tried again; None for never."""
    if not error.again or tries >= TRIES:
        return None
    return now + _DELAY_S * 4.0 ** (tries - 1)


def look_up(text: str) -> str:
    """The value of ``env:NAME`` or ``file:PATH``; any other text itself.

    Raises:
        NoticeError: there is no such variable or file.
    """
    kind, colon, where = text.partition(":")
    try:
        if colon and kind == "env":
            return os.environ[where]
        if colon and kind == "file":
            return Path(where).read_text(encoding="utf-8").strip()
    except KeyError as error:
        raise NoticeError(f"{text}: there is no such environment variable", again=True) from error
    except OSError as error:
        raise NoticeError(f"{text}: cannot be read: {error.strerror}", again=True) from error
    return text


# ---- webhook -------------------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and might carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _post(settings: WebhookSettings, body: Mapping[str, Any]) -> None:
    url = look_up(settings.url)
    where = _shown(settings.url)
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise NoticeError(f"webhook {where}: is no http or https address", again=False)
    headers = {"Content-Type": "application/json", "User-Agent": "laikaroto",
               "Idempotency-Key": str(body["id"])}  # fmt: skip
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {look_up(settings.token)}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=parse_duration(settings.timeout)) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        error.close()
        again = error.code >= 500 or error.code in (408, 425, 429)
        raise NoticeError(f"webhook {where}: answers {error.code}", again=again) from None
    except OSError as error:  # URLError is one
        reason = getattr(error, "reason", error)
        raise NoticeError(f"webhook {where}: {reason}", again=True) from None
    except (http.client.HTTPException, ValueError) as error:
        # their messages quote the address or the header, which may be secret
        raise NoticeError(f"webhook {where}: {type(error).__name__}", again=True) from None


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    if url.startswith(("env:", "file:")):
        return url
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{':' + str(parts.port) if parts.port else ''}"


# ---- e-mail --------------------------------------------------------------------------------


def _mail(settings: MailSettings, body: Mapping[str, Any]) -> None:
    where = f"e-mail by {settings.host}:{settings.port}"
    timeout = parse_duration(settings.timeout)
    context = ssl.create_default_context()
    try:
        server: smtplib.SMTP
        if settings.security == "tls":
            server = smtplib.SMTP_SSL(
                settings.host, settings.port, timeout=timeout, context=context
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, timeout=timeout)
        with server:
            if settings.security == "starttls":
                server.starttls(context=context)
            if settings.user is not None and settings.password is not None:
                server.login(settings.user, look_up(settings.password))
            server.send_message(_letter(settings, body))
    except smtplib.SMTPResponseException as error:
        again = error.smtp_code < 500
        raise NoticeError(f"{where}: answers {error.smtp_code}", again=again) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        raise NoticeError(
            f"{where}: refuses {', '.join(error.recipients)}: {codes}",
            again=all(code < 500 for code in codes),
        ) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NoticeError(f"{where}: {type(error).__name__}: {error}", again=True) from None


def _letter(settings: MailSettings, body: Mapping[str, Any]) -> EmailMessage:
    letter = EmailMessage()
    letter["From"] = settings.sender
    letter["To"] = ", ".join(to.format(user=body["user"]) for to in settings.to)
    letter["Subject"] = f"{body['job']}: {body['state']}"
    domain = settings.sender.rpartition("@")[2].rstrip(">") or "laikaroto"
    letter["Message-ID"] = f"<{body['id'].replace(':', '.')}@{domain}>"
    tasks = ", ".join(f"{number} {state}" for state, number in body["tasks"].items())
    lines = [f"{body['job']} in queue {body['queue']}: {body['state']}", f"tasks: {tasks}"]
    lines += [f"{item['task']}: {item['message']}" for item in body["failed"]]
    lines += ["", f"laikaroto jobs show {body['job']} --queue {body['queue']}"]
    letter.set_content("\n".join(lines))
    return letter
