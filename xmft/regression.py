"""Penalised least squares in closed form, linear and with a Gaussian kernel, in float64.

    linear:   min_W |X W - Y|^2 + penalty |W|^2      (ridge regression, Hoerl and Kennard 1970)
    Gaussian: (K + penalty I) A = Y,  K_ij = exp(-|x_i - x_j|^2 / (2 width^2))

The second is kernel ridge regression, the mean of a Gaussian process with noise of variance
`penalty`. Beyond `exact` samples it is solved on landmarks (the subset of regressors: Quinonero
Candela and Rasmussen 2005), and beyond as many features so is the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

# Rows taken at once.
_BLOCK = 1024
# Directions in which the landmarks' kernel has less than this of its largest value are noise.
_NOISE = 1e-13

Block = tuple[Tensor, Tensor]
"""Inputs `[n, d]` and outputs `[n, m]`, float64."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Training rows that are read block by block, as often as asked for.

    Attributes:
        count: How many there are.
        read: From numbers of rows to the rows, a block at a time.
    """

    count: int
    read: Callable[[Tensor], Iterator[Block]]

    def blocks(self) -> Iterator[Block]:
        """Yield all rows in order."""
        return self.read(torch.arange(self.count))

    def only(self, rows: Tensor) -> Rows:
        """Return some of the rows as rows of their own, in the order of their numbers `[n]`."""
        return Rows(count=len(rows), read=lambda chosen: self.read(rows[chosen]))

    def some(self, most: int) -> Block:
        """Return at most `most` rows, evenly spread."""
        parts = list(self.read(torch.linspace(0, self.count - 1, min(most, self.count)).long()))
        return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is chosen from, and by what.

    Attributes:
        penalties: Multiples of the mean of k(x, x).
        widths: Multiples of the median distance between samples; none: the map is linear.
        inputs: Of the validation split, `[n, d]` float64.
        score: What its predictions `[n, m]` are worth; the lowest value wins.
        exact: Most samples that all take part in one system of equations.
        landmarks: Most samples, or features, that take part in the choice.
    """

    penalties: Sequence[float]
    widths: Sequence[float] = ()
    inputs: Tensor
    score: Callable[[Tensor], float]
    exact: int = 10_000
    landmarks: int = 2_000


class Kernel(nn.Module):
    """k(x, y) of centred inputs: their inner product, or a Gaussian of their distance."""

    centre: Tensor

    def __init__(self, centre: Float[Tensor, " d"], width: float | None = None) -> None:
        """Create; without a width, linear."""
        super().__init__()
        self.register_buffer("centre", centre)
        self.width = width

    def forward(self, x: Float[Tensor, "n d"], y: Float[Tensor, "k d"]) -> Float[Tensor, "n k"]:
        """Return k of every pair."""
        x, y = x - self.centre, y - self.centre
        if self.width is None:
            return x @ y.T
        return torch.exp(_squared_distances(x, y) / (-2 * self.width**2))


class Regression(nn.Module):
    """A fitted map from `[n, d]` to `[n, m]`.

    Attributes:
        coefficients: `[k, m]` of k(x, landmark), or of the centred inputs themselves.
        width: Of the Gaussian; None where the map is linear.
        penalty: That was chosen, as it stands in the equations.
    """

    intercept: Tensor
    landmarks: Tensor

    def __init__(
        self,
        kernel: Kernel,
        landmarks: Float[Tensor, "k d"] | None,
        coefficients: Float[Tensor, "k m"],
        intercept: Float[Tensor, " m"],
        penalty: float,
    ) -> None:
        super().__init__()
        self.kernel, self.width, self.penalty = kernel, kernel.width, penalty
        self.primal = landmarks is None
        self.coefficients = nn.Parameter(coefficients, requires_grad=False)
        self.register_buffer("landmarks", coefficients[:0] if landmarks is None else landmarks)
        self.register_buffer("intercept", intercept)

    def forward(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Predict."""
        if self.primal:
            return (x - self.kernel.centre) @ self.coefficients + self.intercept
        total = self.intercept.expand(len(x), -1)
        for start in range(0, len(self.landmarks), _BLOCK):
            part = slice(start, start + _BLOCK)
            total = total + self.kernel(x, self.landmarks[part]) @ self.coefficients[part]
        return total


class _Spectrum:
    """The systems (G + penalty I) A = B for many penalties, through one eigendecomposition."""

    def __init__(self, matrix: Tensor, right: Tensor) -> None:
        values, self.vectors = torch.linalg.eigh(matrix)
        self.values = values.clamp_min(0)
        self.right = self.vectors.T @ right

    def solution(self, penalty: float) -> Tensor:
        return self.vectors @ (self.right / (self.values + penalty)[:, None])

    def predictions(self, features: Tensor, penalties: Sequence[float]) -> Iterator[Tensor]:
        """Yield `features @ solution(penalty)` for every penalty."""
        turned = features @ self.vectors
        for penalty in penalties:
            yield (turned / (self.values + penalty)) @ self.right


def fitted(rows: Rows, choice: Choice) -> Regression:
    """Fit, with the width and the penalty that predict the validation split best.

    Both are properties of the function and its noise, not of the number of samples: they are
    chosen on `landmarks` of the rows at most, and then hold for all of them.
    """
    centre, intercept = _means(rows)
    linear = Kernel(centre)
    if not choice.widths and len(centre) <= min(rows.count, choice.landmarks):
        return _primal(rows, choice, linear, intercept)
    x, y = rows.some(choice.landmarks)
    kernels = [Kernel(centre, factor * _median_distance(x)) for factor in choice.widths]
    best: tuple[float, Kernel, float, _Spectrum] | None = None
    for kernel in kernels or [linear]:
        gram = kernel(x, x)
        spectrum = _Spectrum(gram, y - intercept)
        penalties = _scaled(choice.penalties, gram.diagonal().mean())
        guesses = spectrum.predictions(kernel(choice.inputs, x), penalties)
        for penalty, guess in zip(penalties, guesses, strict=True):
            value = choice.score(guess + intercept)
            if best is None or value < best[0]:
                best = value, kernel, penalty, spectrum
    assert best is not None  # there is at least one penalty
    _, kernel, penalty, spectrum = best
    if len(x) == rows.count:
        return Regression(kernel, x, spectrum.solution(penalty), intercept, penalty)
    if rows.count <= choice.exact:
        return _exact(rows, kernel, intercept, penalty)
    return Regression(
        kernel, x, _on_landmarks(rows, kernel, x, intercept, penalty), intercept, penalty
    )


def out_of_fold(
    rows: Rows, like: Regression, folds: Int[Tensor, " n"]
) -> Iterator[tuple[Int[Tensor, " k"], Float[Tensor, "k m"]]]:
    """Predict every row by a map that was fitted without it, one fold after the other.

    Args:
        rows: What `like` was fitted to.
        like: Says by which equations each fold's map is fitted: its width, its penalty, and whether
            all rows took part in one system.
        folds: The fold of every row; there are several.

    Yields:
        The rows of a fold and their predictions.
    """
    exact = len(like.landmarks) == rows.count
    for fold in folds.unique():
        held = (folds == fold).nonzero().flatten()
        kept = rows.only((folds != fold).nonzero().flatten())
        centre, intercept = _means(kept)
        kernel, penalty = Kernel(centre, like.width), like.penalty
        if like.primal:
            solution = _Spectrum(*_normal_equations(kept, kernel, intercept)).solution(penalty)
            own = Regression(kernel, None, solution, intercept, penalty)
        elif exact:
            own = _exact(kept, kernel, intercept, penalty)
        else:
            x, _ = kept.some(len(like.landmarks))
            solution = _on_landmarks(kept, kernel, x, intercept, penalty)
            own = Regression(kernel, x, solution, intercept, penalty)
        yield held, torch.cat([own(x) for x, _ in rows.read(held)])


def _exact(rows: Rows, kernel: Kernel, intercept: Tensor, penalty: float) -> Regression:
    """Fit with all rows in one system of equations."""
    x, y = rows.some(rows.count)
    gram = kernel(x, x)
    gram.diagonal().add_(penalty)
    solution = torch.cholesky_solve(y - intercept, torch.linalg.cholesky(gram))
    return Regression(kernel, x, solution, intercept, penalty)


def _normal_equations(rows: Rows, linear: Kernel, intercept: Tensor) -> tuple[Tensor, Tensor]:
    d = len(linear.centre)
    gram, right = intercept.new_zeros(d, d), intercept.new_zeros(d, len(intercept))
    for x, y in rows.blocks():
        centred = x - linear.centre
        gram += centred.T @ centred
        right += centred.T @ (y - intercept)
    return gram, right


def _primal(rows: Rows, choice: Choice, linear: Kernel, intercept: Tensor) -> Regression:
    """Fit a linear map of fewer features than samples."""
    gram, right = _normal_equations(rows, linear, intercept)
    spectrum = _Spectrum(gram, right)
    penalties = _scaled(choice.penalties, gram.diagonal().sum() / rows.count)
    guesses = spectrum.predictions(choice.inputs - linear.centre, penalties)
    values = [choice.score(guess + intercept) for guess in guesses]
    penalty = penalties[values.index(min(values))]
    return Regression(linear, None, spectrum.solution(penalty), intercept, penalty)


def _on_landmarks(
    rows: Rows, kernel: Kernel, landmarks: Tensor, intercept: Tensor, penalty: float
) -> Tensor:
    """Return the coefficients of the landmarks that fit all rows best."""
    values, vectors = torch.linalg.eigh(kernel(landmarks, landmarks))
    kept = values > _NOISE * values[-1]
    # With features k(x, landmarks) @ whiten the penalty is that of the coefficients' squares.
    whiten = vectors[:, kept] / values[kept].sqrt()
    size = whiten.shape[1]
    gram, right = intercept.new_zeros(size, size), intercept.new_zeros(size, len(intercept))
    for x, y in rows.blocks():
        features = kernel(x, landmarks) @ whiten
        gram += features.T @ features
        right += features.T @ (y - intercept)
    return whiten @ _Spectrum(gram, right).solution(penalty)


def _scaled(penalties: Sequence[float], scale: Tensor) -> list[float]:
    # Inputs that are all the same leave nothing to fit, whatever the penalty.
    size = scale.item() or 1.0
    return [factor * size for factor in penalties]


def _means(rows: Rows) -> tuple[Tensor, Tensor]:
    totals: tuple[Tensor, Tensor] | None = None
    for x, y in rows.blocks():
        sums = x.sum(dim=0), y.sum(dim=0)
        totals = sums if totals is None else (totals[0] + sums[0], totals[1] + sums[1])
    assert totals is not None  # a split is never empty
    return totals[0] / rows.count, totals[1] / rows.count


def _median_distance(x: Tensor) -> float:
    """Return the median distance of two samples that differ; 1 where none do."""
    squares = _squared_distances(x - x[0], x - x[0])[*torch.triu_indices(len(x), len(x), 1)]
    squares = squares[squares > _NOISE * squares.amax()] if len(squares) else squares
    return squares.median().sqrt().item() if len(squares) else 1.0


def _squared_distances(x: Tensor, y: Tensor) -> Float[Tensor, "n k"]:
    """Return |x_i - y_j|^2 of rows that lie around the origin."""
    squares = x.square().sum(dim=1)[:, None] + y.square().sum(dim=1) - 2 * x @ y.T
    return squares.clamp_min(0)
