from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from laikaroto.errors import ModelError
from laikaroto.model.network import Network
from laikaroto.model.package import load_package
from tests.model.tiny import FINDER_SIZE

WIDTH, HEIGHT = FINDER_SIZE
OUTPUTS = frozenset({"centre", "side", "found"})


@pytest.fixture(scope="module")
def finder(tiny_models: Path) -> Network:
    package = load_package(tiny_models / "v001")
    return Network(package, "finder", FINDER_SIZE, outputs=OUTPUTS, threads=2)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.random((HEIGHT, WIDTH, 3), dtype=np.float32) for _ in range(12)]


def centres(finder: Network, pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([out["centre"] for out in finder.run(pictures)])


def test_outputs_are_those_of_each_picture_alone(
    finder: Network, pictures: list[np.ndarray]
) -> None:
    together = finder.run(pictures)
    assert [sorted(out) for out in together] == [sorted(OUTPUTS)] * 12
    assert together[0]["centre"].shape == (2,)
    alone = np.stack([centres(finder, [picture])[0] for picture in pictures])
    found = np.stack([out["centre"] for out in together])
    np.testing.assert_array_equal(found, alone)
    assert len({tuple(centre) for centre in found.tolist()}) == 12
    assert finder.run([]) == []


def test_many_threads_share_the_requests(finder: Network, pictures: list[np.ndarray]) -> None:
    """More threads than requests, each with more pictures than there are requests."""
    wanted = centres(finder, pictures)
    start = threading.Barrier(6, timeout=300)

    def run(turn: int) -> np.ndarray:
        start.wait()
        return centres(finder, pictures[turn:] + pictures[:turn])

    assert finder.requests < 6
    with ThreadPoolExecutor(6) as pool:
        for turn, found in enumerate(pool.map(run, range(6))):
            np.testing.assert_array_equal(found, np.roll(wanted, -turn, axis=0))


def test_after_an_error_the_requests_are_there_again(
    finder: Network, pictures: list[np.ndarray]
) -> None:
    wanted = centres(finder, pictures)
    for _ in range(finder.requests + 1):
        with pytest.raises(ValueError, match="broadcast"):
            finder.run([pictures[0], pictures[1][:5]])  # the second does not fit
    np.testing.assert_array_equal(centres(finder, pictures), wanted)


def test_a_network_without_an_output_is_refused(tiny_models: Path) -> None:
    package = load_package(tiny_models / "v001")
    with pytest.raises(ModelError, match=r"finder.xml: has no output points; it has .*centre"):
        Network(package, "finder", FINDER_SIZE, outputs=OUTPUTS | {"points"}, threads=1)


def test_an_optional_output_is_given_where_it_is_there(
    tiny_models: Path, pictures: list[np.ndarray]
) -> None:
    package = load_package(tiny_models / "v001")
    for optional, given in ((OUTPUTS, OUTPUTS), (frozenset({"tokens"}), {"centre"})):
        network = Network(
            package, "finder", FINDER_SIZE, outputs=frozenset({"centre"}), optional=optional,
            threads=1,
        )  # fmt: skip
        assert network.run(pictures[:1])[0].keys() == given


def test_it_computes_in_float32_whatever_the_processor_prefers(finder: Network) -> None:
    assert str(finder.compiled.get_property("INFERENCE_PRECISION_HINT")) == "<Type: 'float32'>"
