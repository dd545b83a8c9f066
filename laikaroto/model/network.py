"""One compiled network of a package, and the requests that several threads draw with at once.

OpenVINO's throughput hint cuts the threads it may use into streams, each of which works on
one picture at a time; as many asynchronous requests, and one more, keep every stream busy.
A request always carries one picture, so that a result depends on that picture alone and not
on what happens to be under way beside it.

``openvino.AsyncInferQueue`` is such a pool too, but for one thread that starts all requests:
its idle list is not guarded against a second one, and a request that fails never reaches its
callback, so that whoever waits for the result waits for ever. Here the thread that starts a
request waits for it, outside the interpreter lock, and gets its error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from laikaroto.errors import ModelError
from laikaroto.model.package import ModelPackage

Image = NDArray[np.float32]
#: A network's outputs by name, without the batch axis.
Outputs = dict[str, NDArray[np.float32]]


@cache
def runtime() -> ov.Core:
    """The one OpenVINO runtime of this process; it stays until the process ends.

    Its CPU plugin gives the thread that loads it a stack of its own for signal handlers
    (``sigaltstack``), and frees that stack when it goes: a SIGTERM that came later would kill
    the process with a segmentation fault instead of being handled.
    """
    return ov.Core()


class Network:
    """A compiled network; ``run`` may be called from any number of threads."""

    def __init__(
        self,
        package: ModelPackage,
        name: str,
        size: tuple[int, int],
        *,
        outputs: frozenset[str],
        optional: frozenset[str] = frozenset(),
        threads: int,
    ) -> None:
        """Compile one of a package's networks for pictures of one size.

        Args:
            package: where it lies.
            name: ``finder`` or ``drawer``.
            size: width and height of its pictures, px.
            outputs: names of the outputs it must have.
            optional: names of outputs that are given where it has them.
            threads: processor threads to use.

        Raises:
            ModelError: it cannot be read, compiled, or lacks an output.
        """
        path = package.folder / f"{name}.xml"
        try:
            core = runtime()
            model = core.read_model(path)
            # a fixed shape of one picture: nothing depends on which pictures go together
            model.reshape({"image": [1, 3, size[1], size[0]]})
            self.compiled = core.compile_model(model, "CPU", settings(threads))
            #: how many requests can be under way
            self.requests = int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1
            self._idle: SimpleQueue[Any] = SimpleQueue()
            for _ in range(self.requests):
                self._idle.put(self.compiled.create_infer_request())
        except RuntimeError as error:
            raise ModelError(f"{path}: cannot be used by OpenVINO: {error}; train again") from error
        there = {found: out for out in self.compiled.outputs for found in out.get_names()}
        if missing := sorted(outputs - there.keys()):
            raise ModelError(
                f"{path}: has no output {', '.join(missing)}; it has "
                f"{', '.join(sorted(there)) or 'none'}; train again"
            )
        given = outputs | (optional & there.keys())
        self._outputs = {name: there[name] for name in sorted(given)}

    def run(self, pictures: Sequence[Image]) -> list[Outputs]:
        """Outputs of each picture (h, w, 3) float32, in order; all at once if requests are idle.

        Raises:
            RuntimeError: OpenVINO failed.
            ValueError: a picture is of another size.
        """
        started: deque[Any] = deque()
        results: list[Outputs] = []
        try:
            for picture in pictures:
                while (request := self._take(wait=not started)) is None:
                    # others have the rest: ending one of our own frees one for sure
                    results.append(self._collect(started[0]))
                    self._idle.put(started.popleft())
                started.append(request)
                request.get_input_tensor().data[0] = picture.transpose(2, 0, 1)
                request.start_async()
            while started:
                results.append(self._collect(started[0]))
                self._idle.put(started.popleft())
        finally:
            for request in started:  # after an error: give them back idle
                with suppress(RuntimeError):
                    request.wait()
                self._idle.put(request)
        return results

    def _take(self, *, wait: bool) -> Any | None:
        """An idle request; None if there is none and there shall be no waiting for one."""
        try:
            return self._idle.get(block=wait)
        except Empty:
            return None

    def _collect(self, request: Any) -> Outputs:
        request.wait()
        return {
            name: np.array(request.get_tensor(out).data[0]) for name, out in self._outputs.items()
        }


def settings(threads: int) -> dict[str, Any]:
    """What OpenVINO is told when it compiles a network for this CPU."""
    return {
        "PERFORMANCE_HINT": "THROUGHPUT",
        # bfloat16, which some CPUs would choose by themselves, moves points: docs/inference.md
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # several tasks share a host's cores
    }
