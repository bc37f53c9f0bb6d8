"""What a training run writes down: scores, curves, times and its best parameters."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from xmft.curves import CurvePoint
from xmft.errors import DivergedError
from xmft.examples import Examples
from xmft.flops import Counts
from xmft.metrics import Metric
from xmft.stages import Stage

BASE = "base"
"""Selection of the scores of the closed form that a model stands on, without the network."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One exact metric of one split; `epoch` is that of the parameters that were scored."""

    split: str
    selection: str
    metric: str
    value: float
    epoch: int


@dataclass(kw_only=True)
class History:
    """What accumulates over a run and survives an interruption.

    Attributes:
        curves: Losses and scores.
        measurements: Quantities of the stages, `stage/when/key`.
        seconds: Time by account.
        counts: Operations; None where a version that did not count began the run.
    """

    curves: list[CurvePoint] = field(default_factory=list)
    measurements: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    counts: Counts | None = None

    def book(self, what: str, since: float) -> float:
        """Add the time since `since` (`time.perf_counter`) to the account `what`; return now."""
        now = time.perf_counter()
        self.seconds[what] = self.seconds.get(what, 0.0) + now - since
        return now

    def fitted(self, stages: Sequence[Stage]) -> CurvePoint | None:
        """Return the training loss in the last epoch of target fitting; None without fitting."""
        names = {f"{stage.name}/loss" for stage in stages if stage.account == "fit"}
        losses = [p for p in self.curves if p.split == "train" and p.name in names]
        return losses[-1] if losses else None


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """Scores and curves of a finished run.

    Attributes:
        scores: Every metric of the task on val and test under both selections, and of the model's
            base alone (`BASE`) where that is a closed form.
        measurements: Quantities of the stages, `stage/when/key`; of a model that is fitted without
            stages what it calls `measured`, as `fitting/after/key`.
        seconds: Time by account (`align`, `fit`, `eval`, `measure`), of all runs it took.
        own_seconds: Time of this run alone.
        flops: Floating-point operations by account (`prepare`, `align`, `fit`, `measure`, `eval`),
            of all workers and all runs it took; None where some are unknown. What is made once for
            many runs, such as artefacts of the source, is not in them.
        resumed_epochs: Epochs that were restored, not trained.
        fitted: Training loss in the last epoch of target fitting; None where nothing is fitted.
        examples: Of dense tasks, from the first worker; None otherwise.
    """

    scores: tuple[Score, ...]
    curves: tuple[CurvePoint, ...]
    measurements: dict[str, float]
    seconds: dict[str, float]
    own_seconds: float
    flops: dict[str, int | None]
    resumed_epochs: int
    fitted: CurvePoint | None = None
    examples: Examples | None = None

    def with_measuring(self, seconds: float) -> FitResult:
        """Return the result with the time that was spent before the run on what it measures."""
        if not seconds:
            return self
        booked = {**self.seconds, "measure": self.seconds.get("measure", 0.0) + seconds}
        return replace(self, seconds=booked, own_seconds=self.own_seconds + seconds)


@dataclass(kw_only=True)
class Best:
    """The parameters with the best validation score so far."""

    epoch: int = 0
    value: float = math.nan
    state: dict[str, Tensor] = field(default_factory=dict)

    def offer(self, metric: Metric, value: float, epoch: int, model: nn.Module) -> None:
        """Keep a copy of the parameters if `value` is the best so far."""
        if math.isnan(self.value) or metric.better(value, self.value):
            self.epoch, self.value = epoch, value
            self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}


def check_finite_values(values: Mapping[str, float], what: str) -> None:
    """Make sure that losses or scores are numbers.

    Raises:
        DivergedError: one is NaN or infinite.
    """
    wrong = [name for name, value in values.items() if not math.isfinite(value)]
    if wrong:
        raise DivergedError(
            f"The {what} are not finite ({', '.join(wrong)}). "
            "Lower learning_rate or set clip_grad_norm."
        )


def measured_by(model: nn.Module) -> dict[str, float]:
    """Return what a model that is fitted without stages says of itself in `measured`."""
    measured: Mapping[str, float] = getattr(model, "measured", {})
    return {f"fitting/after/{key}": float(value) for key, value in measured.items()}
