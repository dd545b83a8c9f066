"""Where notices go in tests: a real HTTP server and a real mail server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.farm.tiny import free_ports


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it.

    ``answers`` are the codes of the next answers, then 204; 0 means to hang until ``let_go``.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        """Its address, with a path."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    def ids(self) -> list[str]:
        """Which ends were told, in order."""
        return [body["id"] for body in self.posted]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:  # noqa: N802 (the name http.server wants)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        code = self.server.answers.pop(0) if self.server.answers else 204
        if code == 0:
            self.server.let_go.wait()
            return
        if code < 300:
            self.server.headers.append(dict(self.headers))
            self.server.posted.append(body)
        self.send_response(code)
        if 300 <= code < 400:
            self.send_header("Location", self.server.url + "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@contextmanager
def hook() -> Iterator[Hook]:
    """A server that runs as long as the block."""
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.let_go.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Post:
    """A mail server's inbox; refuses recipients that begin with 'nobody'."""

    def __init__(self) -> None:
        self.letters: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 (the name aiosmtpd wants)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take or refuse a recipient."""
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keep a letter."""
        self.letters.append(envelope)
        return "250 OK"


@contextmanager
def post_office() -> Iterator[tuple[Post, int]]:
    """A mail server that runs as long as the block, and its port."""
    inbox, (port,) = Post(), free_ports(1)
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield inbox, port
    finally:
        controller.stop()
