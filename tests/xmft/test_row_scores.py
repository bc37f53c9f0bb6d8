"""Rows scored beside their groups, weights in metrics over all predictions, flat samples."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.test_pooling import CPU, LABELS, RECORDS, Logits, Worker
from xmft import evaluation
from xmft.arrays import Ragged, Windows
from xmft.errors import DataError
from xmft.evaluation import evaluate
from xmft.metrics import METRICS, Metric
from xmft.model import StandardisedModel
from xmft.samples import Decoded, Draw, Draws, Pieces, RaggedBatch, Samples
from xmft.session import Session
from xmft.split import Split
from xmft.task import Task, TaskData

RNG = np.random.default_rng(11)
GROUPS = METRICS["error_pct"]
ROWS = replace(GROUPS, name="error_of_rows_pct", unit="row")
ALL_ROWS = replace(METRICS["f1_macro"], name="f1_of_rows", unit="row")
# It shows the order of the split: errors are weighed by how late they come.
ORDERED = Metric(
    name="late_errors",
    version=1,
    kinds=("classification",),
    per_sample=GROUPS.per_sample,
    reduction="each",
    finish=lambda each: (each * torch.arange(1.0, len(each) + 1)).sum(),
)
ORDERED_ROWS = replace(ORDERED, name="late_errors_of_rows", unit="row")


@pytest.mark.parametrize("batch", [1, 3, 256])
def test_rows_and_groups_are_scored_in_one_pass(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    metrics = [GROUPS, ROWS, METRICS["f1_macro"], ALL_ROWS]
    found = evaluate(Logits(), RECORDS, metrics, Session(), pool="vote")
    alone = evaluate(Logits(), RECORDS, [GROUPS, METRICS["f1_macro"]], Session(), pool="vote")
    single = evaluate(Logits(), RECORDS, [GROUPS, METRICS["f1_macro"]], Session())
    assert found["error_pct"] == alone["error_pct"] and found["f1_macro"] == alone["f1_macro"]
    assert found["error_of_rows_pct"] == pytest.approx(single["error_pct"])
    assert found["f1_of_rows"] == pytest.approx(single["f1_macro"])
    assert found["error_pct"] != found["error_of_rows_pct"]
    # Where nothing is pooled, a row is a group.
    unpooled = evaluate(Logits(), RECORDS, metrics, Session())
    assert unpooled["error_pct"] == unpooled["error_of_rows_pct"]


@pytest.mark.parametrize("workers", [2, 15])
def test_workers_score_rows_as_one(workers: int) -> None:
    metrics = [GROUPS, ROWS, ALL_ROWS, ORDERED, ORDERED_ROWS]
    table, barrier = [torch.empty(0)] * workers, threading.Barrier(workers)
    sessions = [Worker(rank, table, barrier) for rank in range(workers)]
    with ThreadPoolExecutor(workers) as threads:
        found = list(
            threads.map(lambda s: evaluate(Logits(), RECORDS, metrics, s, pool="vote"), sessions)
        )
    alone = evaluate(Logits(), RECORDS, metrics, Session(), pool="vote")
    assert all(one == pytest.approx(alone, rel=1e-12) for one in found)
    assert len(LABELS) < workers or workers == 2


def test_each_statistic_is_kept_in_the_order_of_the_split() -> None:
    found = evaluate(Logits(), RECORDS, [ORDERED_ROWS], Session(), pool="vote")
    batch = RECORDS.take(np.arange(len(RECORDS)))
    logits = Logits()(batch.inputs)
    wrong = (logits.argmax(dim=1) != batch.targets).numpy()
    expected = 100.0 * float((np.flatnonzero(wrong) + 1).sum())
    assert found["late_errors_of_rows"] == pytest.approx(expected)
    assert ORDERED.score(logits, batch.targets) == pytest.approx(expected)
    assert wrong.any() and not wrong.all()


class Itself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def test_metrics_over_all_predictions_get_the_weights() -> None:
    x, y = RNG.standard_normal((2, 9, 1, 6, 5)).astype(np.float32)
    weights = (RNG.uniform(size=x.shape) < 0.5).astype(np.float32)
    metric = Metric(
        name="weighted_median",
        version=1,
        kinds=("dense",),
        per_sample=lambda p, t, w: (p - t)[w > 0].median(),
        reduction="all",
        weighted=True,
    )
    split = Split(inputs=x, targets=y, weights=weights)
    found = evaluate(Itself(), Samples(split, CPU), [metric], Session())
    # torch takes the lower of two middle values.
    expected = float(np.sort((x - y)[weights > 0])[(int(weights.sum()) - 1) // 2])
    assert found["weighted_median"] == pytest.approx(expected)
    arrays = (torch.from_numpy(array) for array in (x, y, weights))
    assert metric.score(*arrays) == pytest.approx(expected)


SIZES = (6, 9, 13)


def maps() -> list[np.ndarray[Any, Any]]:
    return [RNG.standard_normal((size, size)).astype(np.float32) for size in SIZES]


def decode_maps(pieces: Pieces) -> Decoded:
    """Cut squares of 4 x 4 out of maps that lie flat."""
    assert isinstance(pieces.inputs, RaggedBatch) and pieces.starts is not None
    values, offsets = pieces.inputs
    cut = []
    for number, (row, column) in enumerate(pieces.starts.tolist()):
        flat = values[offsets[number] : offsets[number + 1]]
        square = flat.unflatten(0, (int(len(flat) ** 0.5), -1))
        cut.append(square[row : row + 4, column : column + 4])
    fields = torch.stack(cut)[:, None]
    return Decoded(fields, fields)


def flat(*, random: bool = False, stride: int | None = None) -> Split:
    values = Ragged.of([one.ravel() for one in maps()])
    extents = [(size, size) for size in SIZES]
    windows = Windows.every(extents, (4, 4), stride, random=random, cut=False)
    return Split(inputs=values, targets=values, windows=windows)


@pytest.mark.parametrize("stride", [None, 3])
def test_flat_samples_are_stitched_to_their_extents(stride: int | None) -> None:
    split = flat(stride=stride)
    samples = Samples(split, CPU, decode=decode_maps)
    off = nn.Module()
    off.forward = lambda x: x + 1  # type: ignore[method-assign]
    found = evaluate(
        off, samples, [METRICS["rmse"], METRICS["max_error"]], Session(), pool="stitch"
    )
    assert found == pytest.approx({"rmse": 1.0, "max_error": 1.0}, rel=1e-5)
    assert split.extent(1) == (9, 9)


def test_random_windows_of_flat_samples_stay_inside_and_reach_everywhere() -> None:
    split, seen = flat(random=True), set()
    samples = Samples(split, CPU, decode=lambda pieces: Decoded(pieces.starts, pieces.samples))  # type: ignore[arg-type]
    rows = np.arange(len(split))
    for epoch in range(40):
        starts, numbers, _ = samples.take(rows, Draw(seed=0, stage="fitting", epoch=epoch))
        for number, (row, column) in zip(numbers.tolist(), starts.tolist(), strict=True):
            assert 0 <= row <= SIZES[number] - 4 and 0 <= column <= SIZES[number] - 4
            seen |= {(number, row, column)} if number == 1 else set()
    assert len(seen) == 36


def test_extents_must_fit_the_samples() -> None:
    split = flat()
    assert split.windows is not None
    with pytest.raises(DataError, match="extents of 2 samples, but the split has 3"):
        replace(split, windows=replace(split.windows, extents=np.full((2, 2), 6)))
    with pytest.raises(DataError, match="cut=True"):
        replace(split.windows, cut=True)
    with pytest.raises(DataError, match=r"window of \(4, 4\) points from"):
        replace(split, windows=replace(split.windows, extents=np.full((3, 2), 6)))


def test_targets_under_random_windows_are_standardised_per_channel() -> None:
    """A point of a window that may lie anywhere has no mean of its own."""
    task = Task(name="toy/maps", version=1, title="", kind="dense", loss="rmse", metrics=("rmse",))
    data = [
        TaskData(
            task=task,
            train=flat(random=random),
            val=flat(),
            test=flat(),
            origin="miniature",
            fingerprint="maps",
            source="made by formula",
            decode=decode_maps,
        )
        for random in (True, False)
    ]
    assert StandardisedModel(data[0]).output_offset.shape == (1, 1, 1)
    assert StandardisedModel(data[1]).output_offset.shape == (1, 4, 4)


def test_augmentation_sees_the_batch_as_it_is_stored() -> None:
    levels = np.arange(5, dtype=np.float32)
    fields = np.ones((5, 1, 4), np.float32)
    stored = np.concatenate([fields, np.repeat(levels[:, None, None], 4, axis=2)], axis=1)

    def decode(pieces: Pieces) -> Decoded:
        assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
        return Decoded(pieces.inputs[:, :1], pieces.targets)

    def brighter(batch: Decoded, draws: Draws) -> Decoded:
        assert isinstance(draws.pieces.inputs, Tensor)
        return batch._replace(inputs=batch.inputs + draws.pieces.inputs[:, 1:])

    split = Split(inputs=stored, targets=np.zeros(5, np.int64))
    rows = np.array([3, 1])
    for decoded in (decode, None):
        samples = Samples(split, CPU, decode=decoded, augment=brighter)
        found = samples.take(rows, Draw(seed=0, stage="fitting", epoch=0)).inputs
        assert torch.equal(found[:, 0], 1 + torch.from_numpy(levels[rows])[:, None].expand(2, 4))
