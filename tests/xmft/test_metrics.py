import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xmft import evaluation
from xmft.evaluation import Samples, evaluate
from xmft.metrics import PerSample, cross_entropy, error_pct, metrics, nrmse, nrmse_pdebench, rmse
from xmft.session import Session
from xmft.task import Split, TaskData

RNG = np.random.default_rng(0)


def fields(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.standard_normal((2, *shape)).astype(np.float32)


def as_tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(np.array(array)) for array in arrays]


@pytest.mark.parametrize("shape", [(4, 3, 10), (4, 1, 10), (4, 2, 5, 6)])
def test_field_metrics_against_loops(shape: tuple[int, ...]) -> None:
    p, y = fields(*shape)
    relative, by_channel, absolute = [], [], []
    for i in range(len(p)):
        squares = norms = points = 0.0
        shares = []
        for c in range(shape[1]):
            square = norm = 0.0
            for a, b in zip(p[i, c].ravel().tolist(), y[i, c].ravel().tolist(), strict=True):
                square += (a - b) ** 2
                norm += b**2
                points += 1
            shares.append(math.sqrt(square) / math.sqrt(norm))
            squares += square
            norms += norm
        relative.append(math.sqrt(squares / norms))
        by_channel.append(sum(shares) / len(shares))
        absolute.append(math.sqrt(squares / points))
    prediction, target = as_tensors(p, y)
    assert nrmse(prediction, target).tolist() == pytest.approx(relative, rel=1e-5)
    assert nrmse_pdebench(prediction, target).tolist() == pytest.approx(by_channel, rel=1e-5)
    assert rmse(prediction, target).tolist() == pytest.approx(absolute, rel=1e-5)


def test_label_metrics_against_loops() -> None:
    logits = (3 * RNG.standard_normal((20, 5))).astype(np.float32)
    labels = RNG.integers(0, 5, 20)
    entropies, errors = [], []
    for row, label in zip(logits.astype(np.float64), labels, strict=True):
        entropies.append(math.log(sum(math.exp(v) for v in row)) - row[label])
        errors.append(0.0 if max(range(5), key=lambda k, row=row: row[k]) == label else 100.0)
    first, second = as_tensors(logits, labels)
    assert cross_entropy(first, second).tolist() == pytest.approx(entropies, rel=1e-5)
    assert error_pct(first, second).tolist() == errors
    assert 0 < sum(errors) < 2000


@pytest.mark.parametrize("metric", [nrmse, nrmse_pdebench, rmse])
def test_a_target_of_zeros_gives_a_finite_value_and_gradient(metric: PerSample) -> None:
    prediction = torch.full((2, 1, 4), 0.5, requires_grad=True)
    target = torch.stack([torch.zeros(1, 4), torch.ones(1, 4)])
    values = metric(prediction, target)
    assert torch.isfinite(values).all()
    values.sum().backward()
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()


def test_better_follows_the_direction() -> None:
    low = metrics["nrmse"]
    high = replace(low, direction="max")
    assert low.better(1, than=2) and not low.better(2, than=1) and not low.better(1, than=1)
    assert high.better(2, than=1) and not high.better(1, than=2) and not high.better(1, than=1)


class Shift(nn.Module):
    """Predicts its input plus one and notes the mode it runs in."""

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        return x[:, :1] + 1


class Shard(Session):
    """One of several workers that never hears of the others."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size


NAMES = ("nrmse", "nrmse_pdebench", "rmse")


def scores(split: Split, session: Session) -> dict[str, float]:
    samples = Samples(split, torch.device("cpu"))
    return evaluate(Shift(), samples, [metrics[name] for name in NAMES], session)


def by_numpy(split: Split) -> dict[str, float]:
    p, y = split.inputs[:, :1].astype(np.float64) + 1, split.targets.astype(np.float64)
    norm = np.linalg.norm
    relative = [norm(a - b) / norm(b) for a, b in zip(p, y, strict=True)]
    absolute = [math.sqrt(np.mean((a - b) ** 2)) for a, b in zip(p, y, strict=True)]
    mean = sum(relative) / len(relative)
    return {"nrmse": mean, "nrmse_pdebench": mean, "rmse": sum(absolute) / len(absolute)}


@pytest.mark.parametrize("batch", [1, 7, 45, 256])
@pytest.mark.parametrize("resident", [True, False])
def test_scores_are_means_over_samples_whatever_the_batches(
    batch: int, resident: bool, dense_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH", batch)
    if not resident:
        monkeypatch.setattr(evaluation, "_RESIDENT_BYTES", 0)
    found = scores(dense_data.train, Session())
    assert found == pytest.approx(by_numpy(dense_data.train), rel=1e-6)


@pytest.mark.parametrize("workers", [2, 3, 14, 20])
def test_shards_add_up(workers: int, dense_data: TaskData) -> None:
    parts = [scores(dense_data.test, Shard(rank, workers)) for rank in range(workers)]
    whole = scores(dense_data.test, Session())
    for name in NAMES:
        assert sum(part[name] for part in parts) == pytest.approx(whole[name], rel=1e-6)


def test_error_pct_of_a_split(class_data: TaskData) -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([0.0, 1.0, 0.0]).expand(len(x), 3)

    samples = Samples(class_data.test, torch.device("cpu"))
    found = evaluate(Constant(), samples, [metrics["error_pct"]], Session())
    wrong = np.mean(class_data.test.targets != 1) * 100
    assert found == {"error_pct": pytest.approx(wrong)}


def test_read_only_arrays_are_accepted(dense_data: TaskData) -> None:
    inputs, targets = dense_data.val.inputs.copy(), dense_data.val.targets.copy()
    inputs.setflags(write=False)
    targets.setflags(write=False)
    found = scores(Split(inputs=inputs, targets=targets), Session())
    assert found == scores(dense_data.val, Session())
