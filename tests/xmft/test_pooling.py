"""Groups of rows are scored as one, exactly, whatever the batches and the workers."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch import Tensor, nn

from xmft import evaluation
from xmft.arrays import Ragged, Windows
from xmft.errors import DataError
from xmft.evaluation import evaluate
from xmft.metrics import METRICS, Metric
from xmft.samples import Decoded, Pieces, Samples
from xmft.session import Session
from xmft.split import Split
from xmft.task import Pool

CPU = torch.device("cpu")
RNG = np.random.default_rng(5)
LENGTHS = (40, 25, 61, 33, 50, 28, 44, 37, 90, 30, 31)
LABELS = RNG.integers(0, 3, len(LENGTHS))


class Worker(Session):
    """One of several workers, each a thread, that put their parts on a table."""

    def __init__(self, rank: int, table: list[Tensor], barrier: threading.Barrier) -> None:
        self.rank, self.world_size = rank, len(table)
        self._table, self._barrier = table, barrier

    def sum(self, x: Tensor) -> Tensor:
        return torch.stack(self._all(x)).sum(dim=0)

    def max(self, x: Tensor) -> Tensor:
        return torch.stack(self._all(x)).amax(dim=0)

    def collect(self, x: Tensor) -> Tensor:
        return torch.cat(self._all(x))

    def _all(self, x: Tensor) -> list[Tensor]:
        self._table[self.rank] = x
        self._barrier.wait(timeout=20)
        parts = list(self._table)
        self._barrier.wait(timeout=20)
        return parts


class Logits(nn.Module):
    """Three logits of a window `[n, 1, 16]`, by fixed projections."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(16, 3, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] @ self.weight


def decode(pieces: Pieces) -> Decoded:
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    return Decoded(pieces.inputs[:, None].float() / 1000, pieces.targets)


def records() -> Samples:
    values = [RNG.integers(-2000, 2000, length).astype(np.int16) for length in LENGTHS]
    windows = Windows.every(LENGTHS, (16,), 7)
    split = Split(inputs=Ragged.of(values), targets=LABELS, windows=windows)
    return Samples(split, CPU, decode=decode)


RECORDS = records()


def by_hand(pool: Pool) -> float:
    """Error in percent over the records, window by window in plain Python."""
    wrong = 0
    for sample, label in enumerate(LABELS):
        rows = np.flatnonzero(RECORDS.split.sample_of_row == sample)
        logits = [Logits()(RECORDS.take(np.array([row])).inputs)[0].tolist() for row in rows]
        if pool == "mean":
            means = [sum(column) / len(logits) for column in zip(*logits, strict=True)]
            found = means.index(max(means))
        else:
            votes = Counter(one.index(max(one)) for one in logits)
            most = max(votes.values())
            tied = [name for name, count in votes.items() if count == most]
            shares = torch.tensor(logits).softmax(dim=1).mean(dim=0)
            found = max(tied, key=lambda name: shares[name].item())
        wrong += found != label
    return 100 * wrong / len(LABELS)


@pytest.mark.parametrize("batch", [1, 3, 256])
@pytest.mark.parametrize("pool", ["mean", "vote"])
def test_windows_of_a_record_are_put_together(
    pool: Pool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    found = evaluate(Logits(), RECORDS, [METRICS["error_pct"]], Session(), pool=pool)
    assert found["error_pct"] == pytest.approx(by_hand(pool))


def test_pooling_is_not_scoring_windows_one_by_one() -> None:
    scores = {
        pool: evaluate(Logits(), RECORDS, [METRICS["error_pct"]], Session(), pool=pool)["error_pct"]
        for pool in (None, "mean", "vote")
    }
    assert len(set(scores.values())) > 1


@pytest.mark.parametrize("workers", [2, 3, 15])
@pytest.mark.parametrize("pool", [None, "mean", "vote"])
def test_workers_pool_and_collect_as_one(pool: Pool | None, workers: int) -> None:
    metrics = [METRICS["error_pct"], METRICS["f1_macro"]]
    table, barrier = [torch.empty(0)] * workers, threading.Barrier(workers)
    sessions = [Worker(rank, table, barrier) for rank in range(workers)]
    with ThreadPoolExecutor(workers) as threads:
        found = list(
            threads.map(lambda s: evaluate(Logits(), RECORDS, metrics, s, pool=pool), sessions)
        )
    alone = evaluate(Logits(), RECORDS, metrics, Session(), pool=pool)
    assert all(one == found[0] for one in found) and found[0] == pytest.approx(alone, rel=1e-12)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@pytest.mark.parametrize("stride", [None, 3])
@pytest.mark.parametrize("batch", [2, 256])
def test_tiles_are_stitched_to_the_map(
    stride: int | None, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Overlaps agree here, so that the stitched score is that of the whole maps."""
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    x = RNG.standard_normal((3, 2, 20, 12)).astype(np.float32)
    y = RNG.standard_normal((3, 2, 20, 12)).astype(np.float32)
    windows = Windows.every([(20, 12)] * 3, (8, 5), stride, targets=True)
    samples = Samples(Split(inputs=x, targets=y, windows=windows), CPU)
    names = ("nrmse", "rmse", "max_error", "brmse")
    metrics = [METRICS[name] for name in names]
    found = evaluate(Twice(), samples, metrics, Session(), pool="stitch")
    whole = Samples(Split(inputs=x, targets=y), CPU)
    assert found == pytest.approx(evaluate(Twice(), whole, metrics, Session()), rel=1e-6)
    tiles = evaluate(Twice(), samples, metrics, Session())
    assert tiles["brmse"] != pytest.approx(found["brmse"], rel=1e-3)


def test_tiles_that_leave_points_out_are_refused() -> None:
    x = np.zeros((1, 1, 20, 12), np.float32)
    windows = Windows.every([(20, 12)], (8, 5), cover=False, targets=True)
    samples = Samples(Split(inputs=x, targets=x, windows=windows), CPU)
    with pytest.raises(DataError, match="points uncovered"):
        evaluate(Twice(), samples, [METRICS["rmse"]], Session(), pool="stitch")


def test_weights_leave_out_what_nobody_knows() -> None:
    x, y = RNG.standard_normal((2, 5, 1, 30)).astype(np.float32)
    known = np.ones_like(y)
    known[:, :, 20:] = 0
    lies = y.copy()
    lies[:, :, 20:] = 1e6
    samples = Samples(Split(inputs=x, targets=lies, weights=known), CPU)
    cut = Samples(Split(inputs=x[..., :20], targets=y[..., :20]), CPU)
    metrics = [METRICS["nrmse"]]
    found = evaluate(Twice(), samples, metrics, Session())
    assert found == pytest.approx(evaluate(Twice(), cut, metrics, Session()), rel=1e-6)


class Itself(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0]


@pytest.mark.parametrize(
    ("name", "reference"),
    [("auroc", roc_auc_score), ("average_precision", average_precision_score)],
)
@pytest.mark.parametrize("batch", [7, 256])
def test_curves_over_a_split_are_those_of_scikit_learn(
    name: str, reference: object, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    logits = (20 * RNG.standard_normal((50, 1, 6)) + 30).astype(np.float32)  # sigmoids would tie
    truth = (RNG.random((50, 6)) < 0.3).astype(np.float32)
    truth[:, 4], truth[:, 5] = 0, 1
    samples = Samples(Split(inputs=logits, targets=truth), CPU)
    found = evaluate(Itself(), samples, [METRICS[name]], Session())[name]
    labels = range(4) if name == "auroc" else (0, 1, 2, 3, 5)
    expected = np.mean([reference(truth[:, k], logits[:, 0, k]) for k in labels])  # type: ignore[operator]
    assert found == pytest.approx(expected, rel=1e-12)
    parts = [slice(i, i + 7) for i in range(0, 49, 7)]
    chunks = [METRICS[name].score(*map(torch.from_numpy, (logits[p, 0], truth[p]))) for p in parts]
    assert abs(np.mean(chunks) - expected) > 1e-3  # what an average of chunks would say


def test_f1_is_the_mean_over_all_classes() -> None:
    logits, labels = RNG.standard_normal((40, 1, 4)).astype(np.float32), RNG.integers(0, 3, 40)
    samples = Samples(Split(inputs=logits, targets=labels), CPU)
    found = evaluate(Itself(), samples, [METRICS["f1_macro"]], Session())["f1_macro"]
    guesses = logits[:, 0].argmax(axis=1)
    expected = f1_score(labels, guesses, labels=range(4), average="macro", zero_division=0)
    assert found == pytest.approx(expected)


def test_labels_without_any_curve_are_an_error() -> None:
    samples = Samples(
        Split(inputs=np.zeros((4, 1, 2), np.float32), targets=np.zeros((4, 2), np.float32)), CPU
    )
    for name in ("auroc", "average_precision"):
        with pytest.raises(DataError, match="None of 2 labels"):
            evaluate(Itself(), samples, [METRICS[name]], Session())


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_says_what_it_is_for(name: str) -> None:
    metric: Metric = METRICS[name]
    assert (metric.name, metric.kinds != ()) == (name, True) and metric.version >= 1
    better, worse = (2.0, 1.0) if metric.direction == "max" else (1.0, 2.0)
    assert metric.better(better, worse) and not metric.better(worse, better)
    # The truth as prediction scores better than noise, for every kind that is declared.
    for kind in metric.kinds:
        if kind == "dense":
            # Distances between residues are positive, and on a square.
            shape = (8, 1, 64, 64) if name.startswith("mae8") else (8, 4, 64)
            truth, wrong = (
                torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
            )
            if name.startswith("mae8"):
                truth = (truth + truth.mT).abs()
            right = truth
        elif kind == "classification":
            truth = torch.arange(8) % 3
            right, wrong = 9 * nn.functional.one_hot(truth, 3).float(), torch.eye(3)[[0] * 8]
        else:
            truth = (torch.arange(24).view(8, 3) % 5 < 2).float()
            right, wrong = 9 * truth - 4, 4 - 9 * truth
        scores = metric.score(right, truth), metric.score(wrong, truth)
        assert metric.better(*(score for score in scores if score is not None))


def test_a_batch_that_does_not_fit_is_scored_in_halves() -> None:
    class Small(nn.Module):
        largest = 0

        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.largest = max(self.largest, len(x))
            return 2 * x

    x, y = RNG.standard_normal((2, 33, 1, 8)).astype(np.float32)
    samples, model = Samples(Split(inputs=x, targets=y), CPU), Small()
    found = evaluate(model, samples, [METRICS["rmse"]], Session())
    assert found == pytest.approx(evaluate(Twice(), samples, [METRICS["rmse"]], Session()))
    assert model.largest == 5


def test_the_batch_follows_from_the_size_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Watching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            sizes.append(len(x))
            return x

    x = np.zeros((40, 1, 64), np.float32)
    monkeypatch.setattr(evaluation, "_BATCH_BYTES", 10 * 2 * 64 * 4)
    evaluate(Watching(), Samples(Split(inputs=x, targets=x), CPU), [METRICS["rmse"]], Session())
    assert sizes == [10, 10, 10, 10]


def test_groups_given_by_number() -> None:
    rows, groups = np.arange(7), np.array([0, 0, 0, 4, 4, 9, 9])
    x = np.arange(7, dtype=np.float32)[:, None, None] * np.ones((1, 1, 3), np.float32)
    split = Split(inputs=x, targets=rows % 3, groups=groups)
    seen: list[int] = []

    def counted(prediction: Tensor, target: Tensor) -> Tensor:
        seen.extend(target.tolist())
        return prediction[:, 0]

    metric = replace(METRICS["error_pct"], per_sample=counted)
    found = evaluate(Itself(), Samples(split, CPU), [metric], Session(), pool="mean")
    assert seen == [0, 0, 2] and found["error_pct"] == pytest.approx((1 + 3.5 + 5.5) / 3)
