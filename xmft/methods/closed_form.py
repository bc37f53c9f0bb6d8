"""Closed forms: what a task takes without any network, in seconds of one core.

What does not beat them has learned less than a linear map, or than a smooth one. Both are
deterministic and use no seed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from xmft.arrays import Indices
from xmft.errors import RequestError
from xmft.evaluation import evaluate
from xmft.methods.method import Context, Method, MethodConfig, register
from xmft.metrics import LOSSES, METRICS
from xmft.model import StandardisedModel
from xmft.regression import Block, Choice, Regression, Rows, fitted
from xmft.samples import Decoded, Samples, shapes_of, train_samples
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, TaskData

_ROWS = 256
# Of float64 values that a fit may hold.
_MOST_BYTES = 16 * 2**30


class ClosedForm(Method):
    """Penalised least squares from standardised inputs to standardised outputs.

    Classes are one-hot targets. Targets of weight 0 count as the training mean, of logits as 0.
    """

    uses_backbone = False
    ignores = frozenset(Recipe.model_fields) - {"samples", "resolution"}

    class Config(MethodConfig):
        """Options of the closed forms."""

        penalties: tuple[float, ...] = Field(
            tuple(10.0**power for power in range(-10, 2)),
            strict=False,
            min_length=1,
            description="to choose from on validation, relative to the mean of k(x, x)",
        )
        exact: int = Field(10_000, ge=2, description="most samples in one system of equations")
        landmarks: int = Field(
            2_000, ge=2, description="samples of the choice, and of the map beyond `exact`"
        )

    def widths(self) -> tuple[float, ...]:
        """Return the widths to choose from; none: the map is linear."""
        return ()

    def model(self, context: Context) -> nn.Module:
        """Fit on the training split and return the fitted model.

        Raises:
            RequestError: the samples do not fit into memory.
        """
        data, config = context.data, self.config
        scaled = _Scaled(data).to(context.device)
        inputs, outputs = (np.prod(shape, dtype=int) for shape in scaled.shapes)
        held = min(len(data.train), config.exact)
        needed = 8 * (held + len(data.val)) * int(inputs + outputs) + 16 * held**2
        if needed > _MOST_BYTES:
            raise RequestError(
                f"{data.task.name}: method '{self.name}' would hold {needed / 2**30:.0f} GiB for "
                f"{held} samples of {inputs} inputs and {outputs} outputs, more than "
                f"{_MOST_BYTES / 2**30:.0f}. Set `samples` or `resolution` in the recipe, or leave "
                "the method out for this task."
            )
        train = train_samples(data, context.device)
        val = Samples(data.val, context.device, decode=data.decode)
        metric = METRICS[data.task.metrics[0]]
        sign = 1 if metric.direction == "min" else -1

        def score(guess: Tensor) -> float:
            replay = _Replay(scaled.predictions(guess))
            session = Session()
            session.device = context.device
            return sign * evaluate(replay, val, [metric], session, pool=data.task.pool)[metric.name]

        regression = fitted(
            Rows(count=len(train), read=lambda rows: _read(train, rows.numpy(), scaled)),
            Choice(
                penalties=config.penalties,
                widths=self.widths(),
                inputs=torch.cat([x for x, _ in _read(val, np.arange(len(val)), scaled)]),
                score=score,
                exact=config.exact,
                landmarks=config.landmarks,
            ),
        )
        return _Fitted(scaled, regression)

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage: the model is fitted as soon as it is made."""
        return []


@register
class Ridge(ClosedForm):
    """Ridge regression: the best linear map, with the penalty that validation prefers."""

    name = "ridge"
    version = 1
    title = "linear map in closed form (ridge regression), penalty chosen on validation"


@register
class KernelRidge(ClosedForm):
    """Kernel ridge regression with a Gaussian kernel, width and penalty chosen on validation."""

    name = "kernel"
    version = 1
    title = "kernel ridge regression with a Gaussian, width and penalty chosen on validation"

    class Config(ClosedForm.Config):
        """Options of kernel ridge regression."""

        widths: tuple[float, ...] = Field(
            (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0),
            strict=False,
            min_length=1,
            description="to choose from on validation, relative to the median distance of samples",
        )

    def widths(self) -> tuple[float, ...]:
        """Return the widths of the options."""
        widths: tuple[float, ...] = self.config.widths
        return widths


class _Scaled(StandardisedModel):
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


class _Fitted(nn.Module):
    """A fitted model, from inputs to fields in physical units or to logits."""

    def __init__(self, scaled: _Scaled, regression: Regression) -> None:
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


def _read(samples: Samples, rows: Indices, scaled: _Scaled) -> Iterator[Block]:
    for start in range(0, len(rows), _ROWS):
        batch = samples.take(rows[start : start + _ROWS])
        yield scaled.inputs(batch.inputs), scaled.outputs(batch)
