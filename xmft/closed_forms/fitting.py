"""From a task's data to a fitted closed form, for methods and for the base of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xmft.arrays import Indices
from xmft.errors import RequestError
from xmft.evaluation import evaluate
from xmft.metrics import LOSSES, METRICS
from xmft.model import StandardisedModel
from xmft.regression import Block, Choice, Regression, Rows, fitted
from xmft.samples import Decoded, Samples, shapes_of, train_samples
from xmft.session import Session
from xmft.task import TaskData

PENALTIES = tuple(10.0**power for power in range(-10, 2))
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
_ROWS = 256
# Of float64 values that a fit may hold.
_MOST_BYTES = 16 * 2**30


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a closed form is chosen from; see `xmft.regression.Choice`.

    Attributes:
        penalties: Relative to the mean of k(x, x).
        widths: Relative to the median distance of samples; none: the map is linear.
        exact: Most samples in one system of equations.
        landmarks: Samples of the choice, and of the map beyond `exact`.
    """

    penalties: Sequence[float] = PENALTIES
    widths: Sequence[float] = ()
    exact: int = 10_000
    landmarks: int = 2_000


class Scaled(StandardisedModel):
    """Flat rows in units of the training spread, and back."""

    def __init__(self, data: TaskData) -> None:
        super().__init__(data)
        self.kind, self.classes = data.task.kind, data.task.classes
        self.logits = LOSSES[data.task.loss].logits
        inputs, targets = shapes_of(data)
        if self.kind == "classification":
            assert self.classes is not None  # the data have looked
            targets = (self.classes,)
        self.shapes = inputs, targets

    def inputs(self, batch: Tensor) -> Tensor:
        """Return the inputs of a batch as rows."""
        rows: Tensor = self.standardised(batch).flatten(1).double()
        return rows

    def outputs(self, batch: Decoded) -> Tensor:
        """Return the targets of a batch as rows."""
        targets = batch.targets
        if self.kind == "classification":
            assert self.classes is not None
            return functional.one_hot(targets, self.classes).double()
        rows = (targets.double() - self.output_offset) / self.output_scale
        if batch.weights is not None:
            rows = rows * (batch.weights > 0)
        return rows.flatten(1)

    def predictions(self, rows: Tensor) -> Tensor:
        """Return what rows stand for: fields in physical units, or logits."""
        output = rows.unflatten(1, self.shapes[1])
        # Least squares on 0 and 1 gives chances, which are even at a half.
        return (output - 0.5 if self.logits else self.physical(output)).float()

    def rows_of(self, samples: Samples) -> Rows:
        """Return samples as rows to fit to."""
        return Rows(count=len(samples), read=lambda rows: self._read(samples, rows.numpy()))

    def _read(self, samples: Samples, rows: Indices) -> Iterator[Block]:
        for start in range(0, len(rows), _ROWS):
            batch = samples.take(rows[start : start + _ROWS])
            yield self.inputs(batch.inputs), self.outputs(batch)


class ClosedFormModel(nn.Module):
    """A fitted model, from inputs to fields in physical units or to logits."""

    def __init__(self, scaled: Scaled, regression: Regression) -> None:
        super().__init__()
        self.scaled = scaled
        self.regression = regression

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict."""
        return self.scaled.predictions(self.regression(self.scaled.inputs(inputs)))


class _Replay(nn.Module):
    """Predictions that were made before, handed out in the order of the split."""

    def __init__(self, predictions: Tensor) -> None:
        super().__init__()
        self.predictions, self.done = predictions, 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the next ones."""
        start, self.done = self.done, self.done + len(inputs)
        return self.predictions[start : self.done]


def fit_closed_form(
    data: TaskData, setting: Setting, device: torch.device, *, called: str, folded: bool = False
) -> ClosedFormModel:
    """Fit to the training split, with the width and the penalty that validation prefers.

    Args:
        data: The task's splits.
        setting: What to choose from.
        device: Where to compute.
        called: What asks for it, for messages: `method 'kernel'`.
        folded: Whether predictions of the whole training split will be held as well.

    Raises:
        RequestError: the samples do not fit into memory.
    """
    scaled = Scaled(data).to(device)
    inputs, outputs = (int(np.prod(shape, dtype=int)) for shape in scaled.shapes)
    held = min(len(data.train), setting.exact)
    needed = 8 * (held + len(data.val)) * (inputs + outputs) + 16 * held**2
    needed += 4 * len(data.train) * outputs if folded else 0
    if needed > _MOST_BYTES:
        raise RequestError(
            f"{data.task.name}: {called} would hold {needed / 2**30:.0f} GiB for "
            f"{held} samples of {inputs} inputs and {outputs} outputs, more than "
            f"{_MOST_BYTES / 2**30:.0f}. Set `samples` or `resolution` in the recipe, or leave "
            "it out for this task."
        )
    val = Samples(data.val, device, decode=data.decode)
    metric = METRICS[data.task.metrics[0]]
    sign = 1 if metric.direction == "min" else -1

    def score(guess: Tensor) -> float:
        replay = _Replay(scaled.predictions(guess))
        session = Session()
        session.device = device
        return sign * evaluate(replay, val, [metric], session, pool=data.task.pool)[metric.name]

    regression = fitted(
        scaled.rows_of(train_samples(data, device)),
        Choice(
            penalties=setting.penalties,
            widths=setting.widths,
            inputs=torch.cat([x for x, _ in scaled.rows_of(val).blocks()]),
            score=score,
            exact=setting.exact,
            landmarks=setting.landmarks,
        ),
    )
    return ClosedFormModel(scaled, regression)
