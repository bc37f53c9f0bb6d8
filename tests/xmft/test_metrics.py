import cmath
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from xmft.evaluation import evaluate
from xmft.field_errors import error_spectrum, nrmse, nrmse_pdebench, rmse
from xmft.label_scores import cross_entropy, error_pct
from xmft.metrics import LOSSES, METRICS
from xmft.samples import Samples
from xmft.session import Session
from xmft.split import Split

PerSample = Callable[[Tensor, Tensor], Tensor]

CPU = torch.device("cpu")
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


@pytest.mark.parametrize("metric", [LOSSES["nrmse"], LOSSES["rmse"], nrmse_pdebench])
def test_a_target_of_zeros_gives_a_finite_value_and_gradient(metric: PerSample) -> None:
    prediction = torch.full((2, 1, 4), 0.5, requires_grad=True)
    target = torch.stack([torch.zeros(1, 4), torch.ones(1, 4)])
    values = metric(prediction, target)
    assert torch.isfinite(values).all()
    values.sum().backward()
    assert prediction.grad is not None and torch.isfinite(prediction.grad).all()


# --- metrics that are more than a mean over samples --------------------------------------------

DENSE = (
    "nrmse",
    "nrmse_pdebench",
    "rmse",
    "max_error",
    "crmse",
    "brmse",
    "frmse_low",
    "frmse_mid",
    "frmse_high",
)
BANDS = {"frmse_low": (0, 4), "frmse_mid": (4, 12), "frmse_high": (12, 10**6)}
GRIDS = [(10,), (64,), (33,), (5, 6), (26, 26), (27, 30)]


def dft(values: list[complex]) -> list[complex]:
    n = len(values)
    return [
        sum(value * cmath.exp(-2j * cmath.pi * k * x / n) for x, value in enumerate(values))
        for k in range(n)
    ]


def shell_powers(error: np.ndarray) -> list[float]:
    """Power of one channel's error by wavenumber, from the definitions."""
    if error.ndim == 1:
        modes = dft(error.tolist())
        return [abs(modes[k] / len(error)) ** 2 for k in range(len(error) // 2 + 1)]
    rows = [dft(row) for row in error.tolist()]
    columns = [dft([row[j] for row in rows]) for j in range(error.shape[1])]
    powers = [0.0] * (min(error.shape) // 2)
    for i in range(error.shape[0] // 2):
        for j in range(error.shape[1] // 2):
            k = math.isqrt(i * i + j * j)
            if k < len(powers):
                powers[k] += abs(columns[j][i] / error.size) ** 2
    return powers


def edge_squares(error: np.ndarray) -> list[float]:
    """Squared error of one channel on the boundary, corners of a rectangle twice."""
    if error.ndim == 1:
        return [error[0] ** 2, error[-1] ** 2]
    nx, ny = error.shape
    along_x = [error[x, y] ** 2 for x in range(nx) for y in (0, ny - 1)]
    along_y = [error[x, y] ** 2 for y in range(ny) for x in (0, nx - 1)]
    assert len(along_x + along_y) == 2 * nx + 2 * ny
    return along_x + along_y


def by_loops(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Return every dense metric of a split, in float64, from the definitions."""
    p, y = p.astype(np.float64), y.astype(np.float64)
    samples, channels, cells = len(p), p.shape[1], p[0, 0].size
    found = dict.fromkeys(DENSE, 0.0)
    for b in range(samples):
        squares, norms = ((p[b] - y[b]) ** 2).sum(), (y[b] ** 2).sum()
        found["nrmse"] += math.sqrt(squares / norms) / samples
    for c in range(channels):
        largest = leaks = 0.0
        powers = [0.0] * len(shell_powers(p[0, c]))
        for b in range(samples):
            error = p[b, c] - y[b, c]
            ratio = math.sqrt((error**2).sum() / (y[b, c] ** 2).sum())
            found["nrmse_pdebench"] += ratio / samples / channels
            found["rmse"] += math.sqrt((error**2).mean()) / samples / channels
            largest = max(largest, *np.abs(error).ravel().tolist())
            leaks += (p[b, c].sum() - y[b, c].sum()) ** 2
            squares = edge_squares(error)
            found["brmse"] += math.sqrt(sum(squares) / len(squares)) / samples / channels
            for k, power in enumerate(shell_powers(error)):
                powers[k] += power
        found["max_error"] += largest / channels
        found["crmse"] += math.sqrt(leaks / samples) / cells / channels
        for name, (first, end) in BANDS.items():
            band = [math.sqrt(power / samples) for power in powers[first:end]]
            found[name] += sum(band) / len(band) / channels if band else math.nan
    return {name: value for name, value in found.items() if not math.isnan(value)}


def uneven_fields(count: int, *shape: int) -> np.ndarray:
    """Fields whose samples and channels differ in size by orders of magnitude."""
    sizes = 10 ** RNG.uniform(-2, 2, (count, shape[0], *(1 for _ in shape[1:])))
    return (sizes * fields(count, *shape)).astype(np.float32)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_dense_metrics_against_loops(grid: tuple[int, ...], channels: int) -> None:
    p, y = uneven_fields(4, channels, *grid)
    found = {name: METRICS[name].score(*as_tensors(p, y)) for name in DENSE}
    assert {k: v for k, v in found.items() if v is not None} == pytest.approx(
        by_loops(p, y), rel=1e-5
    )


def test_each_channel_has_its_own_error() -> None:
    p, y = uneven_fields(5, 3, 16)
    by_channel = [METRICS[f"nrmse_channel_{c}"].score(*as_tensors(p, y)) for c in range(4)]
    expected = [by_loops(p[:, c : c + 1], y[:, c : c + 1])["nrmse"] for c in range(3)]
    assert by_channel[:3] == pytest.approx(expected, rel=1e-5)
    assert by_channel[3] is None  # there is no fourth
    assert METRICS["nrmse_pdebench"].score(*as_tensors(p, y)) == pytest.approx(
        np.mean(expected), rel=1e-5
    )


@pytest.mark.parametrize("grid", [(64,), (30, 26)])
@pytest.mark.parametrize("name", DENSE)
def test_a_constant_error(name: str, grid: tuple[int, ...]) -> None:
    target = torch.ones(3, 2, *grid)
    found = METRICS[name].score(target + 0.25, target)
    # The constant is wavenumber 0, one of the four of the low band.
    expected = {"frmse_low": 0.25 / 4, "frmse_mid": 0.0, "frmse_high": 0.0}.get(name, 0.25)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("wave", [1, 3, 4, 11, 12, 31, 32])
def test_a_sine_error_lands_in_its_band(wave: int) -> None:
    x = torch.arange(64, dtype=torch.float64) / 64
    target = torch.zeros(2, 1, 64, dtype=torch.float64)
    error = torch.stack([3 * torch.sin(2 * torch.pi * wave * x + 0.5), 0 * x])[:, None]
    # Half of a real wave is at -k, except at half the points, where both are the same mode.
    size = 3 * math.sin(0.5) if wave == 32 else 3 / 2
    size /= math.sqrt(2)  # the other of the two samples is right
    for name, (first, end) in BANDS.items():
        width = min(end, 33) - first
        expected = size / width if first <= wave < end else 0.0
        assert METRICS[name].score(error, target) == pytest.approx(expected, abs=1e-12), name
    assert METRICS["crmse"].score(error, target) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("i, j", [(1, 0), (0, 3), (2, 3), (5, 9), (3, 4), (10, 8), (15, 5)])
def test_a_plane_wave_lands_in_its_shell(i: int, j: int) -> None:
    axis = torch.arange(32, dtype=torch.float64) / 32
    phase = 2 * torch.pi * (i * axis[:, None] + j * axis)
    error = torch.cos(phase)[None, None]
    wave = math.hypot(i, j)
    for name, (first, end) in BANDS.items():
        width = min(end, 16) - first
        expected = 0.5 / width if first <= wave < end else 0.0
        found = METRICS[name].score(error, torch.zeros_like(error))
        assert found == pytest.approx(expected, abs=1e-12), name


@pytest.mark.parametrize("grid, width", [((6,), 4), ((4,), 3), ((4, 4), 2), ((1, 8), 0)])
def test_bands_end_with_the_grid(grid: tuple[int, ...], width: int) -> None:
    prediction = torch.ones(2, 1, *grid)
    found = [METRICS[name].score(prediction, 0 * prediction) for name in BANDS]
    # What has no wavenumbers is no perfect score, but none.
    assert found == [pytest.approx(1 / width) if width else None, *absent(grid)]
    samples = Samples(Split(inputs=prediction.numpy(), targets=0 * prediction.numpy()), CPU)
    scores = evaluate(torch.nn.Identity(), samples, [METRICS[n] for n in BANDS], Session())
    assert scores == {n: v for n, v in zip(BANDS, found, strict=True) if v is not None}


def absent(grid: tuple[int, ...]) -> list[float | None]:
    """Scores of the bands from 4 and from 12 wavenumbers on of an error that has none there."""
    waves = grid[0] // 2 + 1 if len(grid) == 1 else min(grid) // 2
    return [0.0 if waves > first else None for first in (4, 12)]


def test_bands_together_hold_the_whole_error() -> None:
    # Parseval: in one dimension all modes but 0 and the last occur twice.
    error = torch.from_numpy(RNG.standard_normal((1, 1, 64)))
    power = error_spectrum(error, torch.zeros_like(error))[0, 0]
    total = 2 * power.sum() - power[0] - power[-1]
    assert total.item() == pytest.approx(error.square().mean().item(), rel=1e-12)


def test_conserved_error_of_a_prediction_that_cancels() -> None:
    # Points are off by a million and their mean by 1 / 2049, which a float32 sum would lose.
    half = (1e6 * RNG.standard_normal(1024)).astype(np.float32)
    error = torch.from_numpy(np.concatenate([half, RNG.permutation(-half), [1]], dtype=np.float32))
    found = METRICS["crmse"].score(error[None, None], torch.zeros(1, 1, 2049))
    assert found == pytest.approx(1 / 2049, rel=1e-4)
    assert error.mean().item() != pytest.approx(1 / 2049, rel=1e-1)


def test_binary_cross_entropy_by_hand() -> None:
    logits, targets = torch.tensor([[0.0, 3.0], [-2.0, 200.0]]), torch.tensor([[1.0, 0], [0, 1]])
    chances = (1 / 2, 1 - 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-2)), 1.0)
    nats = [-math.log(chance) for chance in chances]
    expected = [(nats[0] + nats[1]) / 2, (nats[2] + nats[3]) / 2]
    assert LOSSES["binary_cross_entropy"](logits, targets).tolist() == pytest.approx(expected)


def test_wrong_labels_are_counted_at_logit_zero() -> None:
    logits = torch.tensor([[1.0, -1, 0.1, -0.1], [1, 1, -1, 0]])
    targets = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 0]])
    found = METRICS["label_error_pct"].per_sample(logits, targets)
    assert found.tolist() == [0, 50]
    assert METRICS["label_error_pct"].score(logits, targets) == 25


def test_better_follows_the_direction() -> None:
    low = METRICS["nrmse"]
    high = replace(low, direction="max")
    assert low.better(1, than=2) and not low.better(2, than=1) and not low.better(1, than=1)
    assert high.better(2, than=1) and not high.better(1, than=2) and not high.better(1, than=1)
