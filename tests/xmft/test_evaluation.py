"""Scores of a split do not depend on how it is read or shared."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.xmft.test_pooling import Worker
from xmft import evaluation
from xmft.evaluation import evaluate
from xmft.field_errors import error_spectrum
from xmft.metrics import METRICS
from xmft.samples import Samples, samples_of
from xmft.session import Session
from xmft.task import Split, TaskData

CPU = torch.device("cpu")
RNG = np.random.default_rng(0)
DENSE = tuple(name for name, metric in METRICS.items() if "dense" in metric.kinds)
# Of distances between residues, which are on squares.
PAIRS = tuple(name for name in DENSE if name.startswith("mae8"))
BANDS = ("frmse_low", "frmse_mid", "frmse_high")


def split_of(count: int, *shape: int) -> Split:
    """Inputs and targets whose samples and channels differ in size by orders of magnitude."""
    sizes = 10 ** RNG.uniform(-2, 2, (count, shape[0], *(1 for _ in shape[1:])))
    inputs, targets = (sizes * RNG.standard_normal((2, count, *shape))).astype(np.float32)
    return Split(inputs=inputs, targets=targets)


class Itself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return x


def scores(split: Split, session: Session, *, limit: int = 2**20) -> dict[str, float]:
    samples = Samples(split, CPU, limit=limit)
    assert (samples.resident_bytes == 0) == (limit == 0)
    return evaluate(Itself(), samples, [METRICS[name] for name in fitting(split)], session)


def fitting(split: Split) -> list[str]:
    """Metrics for the grid of a split."""
    square = split.targets.shape[2:3] == split.targets.shape[3:]
    return [name for name in DENSE if square or name not in PAIRS]


@pytest.mark.parametrize("batch", [1, 7, 44, 45, 256])
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("grid", [(64,), (26, 24), (26, 26)])
def test_scores_are_those_of_the_split_whatever_the_batches(
    grid: tuple[int, ...], batch: int, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_of(45, 2, *grid)
    arrays = [torch.from_numpy(array.copy()) for array in (split.inputs, split.targets)]
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    every = {name: METRICS[name].score(*arrays) for name in fitting(split)}
    # What has nothing to score is left out: there is no third channel.
    expected = {name: score for name, score in every.items() if score is not None}
    assert {"nrmse_channel_2", "nrmse_channel_3"} <= every.keys() - expected.keys()
    assert (set(PAIRS) <= expected.keys()) == (grid == (26, 26))
    found = scores(split, Session(), limit=2**20 if resident else 0)
    assert found == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("workers", [2, 3, 14, 20])
@pytest.mark.parametrize("grid", [(64,), (26, 24), (26, 26)])
def test_workers_score_as_one(
    grid: tuple[int, ...], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", 3)
    split = split_of(14, 2, *grid)  # fewer than 20, so that some workers have nothing
    table, barrier = [torch.empty(0)] * workers, threading.Barrier(workers)
    with ThreadPoolExecutor(workers) as pool:
        sessions = [Worker(rank, table, barrier) for rank in range(workers)]
        found = list(pool.map(lambda session: scores(split, session), sessions))
    assert all(one == found[0] for one in found)
    assert found[0] == pytest.approx(scores(split, Session()), rel=1e-7)


@pytest.mark.parametrize("name", DENSE)
def test_one_wrong_value_is_not_lost(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", 2)
    split = split_of(5, 4, 32, 32) if name in PAIRS else split_of(5, 4, 32)
    split.inputs[2, :, 0] = np.nan
    assert math.isnan(scores(split, Session())[name])


def test_shared_statistics_are_computed_once() -> None:
    calls = []

    def counted(prediction: Tensor, target: Tensor) -> Tensor:
        calls.append(len(prediction))
        return error_spectrum(prediction, target)

    samples = Samples(split_of(5, 1, 32), CPU)
    bands = [replace(METRICS[name], per_sample=counted) for name in BANDS]
    found = evaluate(Itself(), samples, bands, Session())
    assert calls == [5] and list(found) == list(BANDS)


def test_error_pct_of_a_split(class_data: TaskData) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(x), 3)

    samples = Samples(class_data.test, CPU)
    found = evaluate(Constant(), samples, [METRICS["error_pct"]], Session())
    wrong = np.mean(class_data.test.targets != 1) * 100
    assert found == {"error_pct": pytest.approx(wrong)}


class FirstChannel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


def test_read_only_arrays_are_accepted(dense_data: TaskData) -> None:
    inputs, targets = dense_data.val.inputs.copy(), dense_data.val.targets.copy()
    inputs.setflags(write=False)
    targets.setflags(write=False)
    samples = [Samples(Split(inputs=inputs, targets=targets), CPU)]
    samples.append(Samples(dense_data.val, CPU))
    found = [evaluate(FirstChannel(), one, [METRICS["nrmse"]], Session()) for one in samples]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("room", "resident"),
    [
        (0, set()),
        (10, {"train", "val", "test"}),
        (7, {"train", "val"}),
        (6, {"train"}),
        (5, {"val", "test"}),
    ],
)
def test_splits_stay_in_memory_as_far_as_they_fit(
    room: int, resident: set[str], dense_data: TaskData
) -> None:
    sizes = {"train": 6, "val": 1, "test": 3} if room != 6 else {"train": 6, "val": 1, "test": 1}
    splits = {name: split_of(count, 1, 32) for name, count in sizes.items()}
    data = replace(dense_data, **splits)
    samples = samples_of(data, CPU, limit=room * 2 * 32 * 4)
    assert {name for name, one in samples.items() if one.resident_bytes} == resident
    assert sum(one.resident_bytes for one in samples.values()) <= room * 2 * 32 * 4
    for name, split in splits.items():
        rows = np.arange(len(split))[::-1].copy()
        inputs, targets, _ = samples[name].take(rows)
        assert np.array_equal(inputs.numpy(), split.inputs[rows])
        assert np.array_equal(targets.numpy(), split.targets[rows])


def test_a_batch_shares_nothing_with_a_mapped_file(tmp_path: Path) -> None:
    np.save(tmp_path / "fields.npy", np.zeros((4, 1, 8), np.float32))
    fields = np.load(tmp_path / "fields.npy", mmap_mode="r")
    split = Split(inputs=fields, targets=fields)
    for limit in (0, 2**20):
        inputs, targets, _ = Samples(split, CPU, limit=limit).take(np.array([2, 1]))
        inputs += 1  # a mapping that may not be written to would end the process
        targets += 1
    assert not fields.any()
