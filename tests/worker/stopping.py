"""Run ``laikaroto`` so that it stops itself (SIGSTOP) at a chosen place, ready to be killed.

    python stopping.py PLACE ARGUMENTS...

PLACE is ``report:TEXT`` (after a progress report that holds TEXT), ``replace:NAME`` (about to
rename a temporary file to a name that ends so) or ``rename:NAME`` (the same for a folder).
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from laikaroto.worker import progress


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def stop_at_report(text: str) -> None:
    make = progress.task_report

    def stopping() -> progress.Report:
        report = make()

        def told(fraction: float, said: str) -> None:
            report(fraction, said)
            if text in said:
                stop()

        return told

    progress.task_report = stopping


def stop_at(function: str, name: str) -> None:
    real = getattr(os, function)

    def stopping(source: Any, target: Any, **options: Any) -> None:
        if str(target).endswith(name):
            stop()
        real(source, target, **options)

    setattr(os, function, stopping)


def main() -> None:
    kind, _, what = sys.argv[1].partition(":")
    stop_at_report(what) if kind == "report" else stop_at(kind, what)
    from laikaroto.cli.app import main as laikaroto

    laikaroto(sys.argv[2:])


if __name__ == "__main__":
    main()
