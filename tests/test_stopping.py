"""A wish to end is obeyed at once, or where the work is careful at its next safe moment."""

from __future__ import annotations

import os
import signal

import pytest

from laikaroto.errors import EXIT_TRY_AGAIN
from laikaroto.stopping import Stop, ToldToStopError, stoppable


def test_at_once_where_nothing_has_to_be_saved() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ToldToStopError, match="goes on from here") as told, stoppable(Stop()):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("went on")
    assert told.value.exit_code == EXIT_TRY_AGAIN and told.value.retryable
    assert signal.getsignal(signal.SIGTERM) == before


def test_careful_work_hears_of_it_and_goes_on() -> None:
    stop, done = Stop(), []
    with stoppable(stop):
        with stop.careful():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("saved")
            assert stop.asked
        done.append("left")
        with pytest.raises(ToldToStopError):
            stop.check()
        os.kill(os.getpid(), signal.SIGTERM)  # once is enough
    assert done == ["saved", "left"]


def test_a_long_part_of_careful_work_may_be_interrupted() -> None:
    stop = Stop()
    with stoppable(stop), stop.careful():
        with pytest.raises(ToldToStopError), stop.at_once():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("went on")
        os.kill(os.getpid(), signal.SIGTERM)  # careful again
        with pytest.raises(ToldToStopError), stop.at_once():
            pytest.fail("began although it was told to stop")


def test_second_ctrl_c_ends_everything() -> None:
    stop = Stop()
    with stoppable(stop, (signal.SIGTERM, signal.SIGINT)), stop.careful():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
