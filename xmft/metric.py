"""What a loss and a metric are.

A loss maps a batch to one number per sample. A metric takes three steps: statistics of each sample
`[n, ...]`, their mean or maximum over *all* samples of the split (in float64, over batches and
workers), and one number made of that. It is never an average of batch scores, so a mean over
samples may stand inside a square root and a maximum is one over the whole split. What no mean or
maximum gives is computed from the statistics of each sample, in the order of the split, or, such as
the area under a curve, from all predictions at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.task import Kind

Reduction = Literal["mean", "max", "each", "all"]
Unit = Literal["group", "row"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a task is trained on, one number per sample.

    Attributes:
        kinds: Kinds of task it is for.
        function: From predictions and targets to `[n]`; with `weighted`, also from weights.
        weighted: Whether it takes weights of the target values as a third argument.
        logits: Whether predictions are logits, which have no units.
    """

    kinds: tuple[Kind, ...]
    function: Callable[..., Tensor]
    weighted: bool = False
    logits: bool = False

    def __call__(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> Float[Tensor, " n"]:
        """Return the loss of each sample."""
        if weights is None:
            return self.function(prediction, target)
        return self.function(prediction, target, weights)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric id with its version; a change of the definition raises the version.

    Attributes:
        kinds: Kinds of task it is for.
        per_sample: Statistics `[n, ...]` of a batch. Metrics that share this function and the
            reduction have it computed once. With the reduction `all`, from all predictions and
            targets of the split at once to the statistics `[...]`.
        reduction: How the statistics of all samples become one `[...]`: their mean or maximum, or
            computed over all predictions together. With `each` they stay `[n, ...]`, in the order
            of the split.
        finish: Makes the score, a scalar, of the reduced statistics (float64, on the CPU); None
            where the data have nothing to score.
        weighted: Whether `per_sample` takes weights of the target values as a third argument.
        unit: What is scored where a task pools: groups of rows, or each row for itself.
    """

    name: str
    version: int
    kinds: tuple[Kind, ...]
    per_sample: Callable[..., Tensor]
    direction: Literal["min", "max"] = "min"
    reduction: Reduction = "mean"
    finish: Callable[[Tensor], Tensor | None] = torch.mean
    weighted: bool = False
    unit: Unit = "group"

    @property
    def shared(self) -> tuple[Callable[..., Tensor], Reduction, Unit]:
        """What metrics have in common whose reduced statistics are the same."""
        return self.per_sample, self.reduction, self.unit

    def statistics(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the statistics `[n, ...]` of a batch."""
        if weights is None:
            return self.per_sample(prediction, target)
        return self.per_sample(prediction, target, weights)

    def over_all(
        self, predictions: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Return the statistics of a whole split, float64, of a metric with the reduction `all`."""
        return self.statistics(predictions, targets, weights).double()

    def score(
        self, prediction: Tensor, target: Tensor, weights: Tensor | None = None
    ) -> float | None:
        """Score a whole split that is at hand as one batch; None as from `finished`."""
        if self.reduction == "all":
            known = None if weights is None else weights.cpu()
            return self.finished(self.over_all(prediction.cpu(), target.cpu(), known))
        statistics = self.statistics(prediction, target, weights).double().cpu()
        if self.reduction == "each":
            return self.finished(statistics)
        over_samples = torch.amax if self.reduction == "max" else torch.mean
        return self.finished(over_samples(statistics, dim=0))

    def finished(self, statistics: Tensor) -> float | None:
        """Return the score that reduced statistics make; None where there is nothing to score."""
        score = self.finish(statistics)
        return None if score is None else score.item()

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`."""
        return value < than if self.direction == "min" else value > than
