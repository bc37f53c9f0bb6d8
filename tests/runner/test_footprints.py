"""Which cells share a GPU, from what finished ones took."""

from __future__ import annotations

from typing import Any

import pytest

from runner.footprints import gpu_peaks, gpu_share, shared
from runner.ledger import Ledger
from runner.resources import wish
from runner.usage import Usage
from tests.runner.attempts import attempt_of, cell_of, score_of

GIB = 2**30


@pytest.mark.parametrize(
    ("peak", "share"), [(70 * GIB, 1.0), (30 * GIB, 1 / 2), (20 * GIB, 1 / 3), (GIB // 2, 1 / 4)]
)
def test_shares_leave_room(peak: int, share: float) -> None:
    found = gpu_share(peak, 80 * GIB)
    assert found == pytest.approx(share)
    assert peak / found <= 80 * GIB


def test_a_cell_larger_than_the_gpu_has_it_alone() -> None:
    assert gpu_share(100 * GIB, 80 * GIB) == 1.0


@pytest.mark.parametrize(
    ("said", "gpus"),
    [({}, 1 / 4), ({"gpus": 1.0}, 1.0), ({"gpus": 0.0}, 0.0), ({"workers": 2}, None)],
)
def test_what_is_said_goes_before_what_was_measured(
    said: dict[str, Any], gpus: float | None
) -> None:
    said = dict(said)
    shared(said, ("a", "minilm"), {("a", "minilm"): GIB}, 80 * GIB)
    assert wish(said)["gpus"] == gpus


def test_unknown_cells_and_machines_without_gpus() -> None:
    for key, gpu_bytes in ((("b", "minilm"), 80 * GIB), (("a", "minilm"), None)):
        said: dict[str, Any] = {}
        shared(said, key, {("a", "minilm"): GIB}, gpu_bytes)
        assert said == {}


def test_peaks_are_the_largest_of_finished_cells_on_gpus(ledger: Ledger) -> None:
    on_gpu = Usage(gpu_name="Big GPU")
    for method, peak, usage, failure in (
        ("nft", 3 * GIB, on_gpu, None),
        ("orca", 5 * GIB, on_gpu, None),
        ("pare", 9 * GIB, on_gpu, "oom"),
        ("fpt", 8 * GIB, Usage(), None),
    ):
        cell = cell_of("pdebench/advection", method)
        ledger.write_attempt(
            attempt_of(cell, score_of(0.1), failure=failure, peak_memory_bytes=peak, usage=usage)
        )
    assert gpu_peaks(ledger) == {("pdebench/advection", "minilm"): 5 * GIB}
