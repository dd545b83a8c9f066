"""Sends the notices of a local queue, beside the supervisor's loop.

The books hold what has to be told, written together with the end of the job; the supervisor
hands it to a thread for each way of sending and writes down what became of it. So a dead
endpoint stops neither the farm nor the other way, and nothing is lost by a crash.
"""

from __future__ import annotations

import json
import queue
import threading
from dataclasses import dataclass

from laikaroto.config import NotifySettings
from laikaroto.farm.notices import NoticeError, deliver


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One notice as the books hold it: of which job, by which way, what to say, how often tried."""

    number: int
    job: str
    channel: str
    settings: str
    body: str
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of a try; ``error`` is None if the other side took it."""

    notice: Notice
    error: NoticeError | None


class Messenger:
    """A thread for each way of sending; one notice at a time each."""

    def __init__(self) -> None:
        """Nothing is started before there is something to send."""
        self._orders: dict[str, queue.SimpleQueue[Notice | None]] = {}
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.busy: dict[str, int] = {}
        """Way of sending -> number of the notice that is on its way."""

    def send(self, notice: Notice) -> None:
        """Begin to send one; its way must not be busy."""
        if notice.channel not in self._orders:
            orders: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
            self._orders[notice.channel] = orders
            thread = threading.Thread(target=self._serve, args=(orders,), daemon=True)
            thread.start()
            self._threads.append(thread)
        self.busy[notice.channel] = notice.number
        self._orders[notice.channel].put(notice)

    def answers(self) -> list[Answer]:
        """What has come of notices since the last call."""
        found: list[Answer] = []
        while not self._answers.empty():
            answer = self._answers.get()
            self.busy.pop(answer.notice.channel, None)
            found.append(answer)
        return found

    def close(self, patience_s: float) -> None:
        """Let what is on its way arrive, for a moment; the rest stays in the books."""
        for orders in self._orders.values():
            orders.put(None)
        for thread in self._threads:
            thread.join(patience_s)

    def _serve(self, orders: queue.SimpleQueue[Notice | None]) -> None:
        while (notice := orders.get()) is not None:
            error: NoticeError | None = None
            try:
                settings = NotifySettings.model_validate_json(notice.settings)
                deliver(notice.channel, settings, json.loads(notice.body))
            except NoticeError as fault:
                error = fault
            except Exception as fault:  # whatever it is, the next notice has to be sent
                error = NoticeError(f"{notice.channel}: {type(fault).__name__}", again=False)
            self._answers.put(Answer(notice=notice, error=error))
