"""From a task's data to a fitted closed form, for methods and for the base of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xmft.closed_forms.choosing import Fitting
from xmft.closed_forms.scaled import Scaled
from xmft.regression import Choice, Regression, fitted
from xmft.samples import train_samples
from xmft.task import Recipe, TaskData

PENALTIES = tuple(10.0**power for power in range(-10, 2))
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


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


class ClosedFormModel(nn.Module):
    """A fitted model, from inputs to fields in physical units or to logits."""

    def __init__(self, scaled: Scaled, regression: Regression) -> None:
        super().__init__()
        self.scaled = scaled
        self.regression = regression

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict."""
        return self.scaled.predictions(self.regression(self.scaled.inputs(inputs)), inputs)


def fit_closed_form(
    data: TaskData,
    recipe: Recipe,
    setting: Setting,
    device: torch.device,
    *,
    called: str,
    folded: bool = False,
) -> ClosedFormModel:
    """Fit to the training split, with the width and the penalty that validation prefers.

    Args:
        data: The task's splits.
        recipe: Says in which form samples are seen.
        setting: What to choose from.
        device: Where to compute.
        called: What asks for it, for messages: `method 'kernel'`.
        folded: Whether predictions of the whole training split will be held as well.

    Raises:
        RequestError: the samples do not fit into memory.
    """
    fitting = Fitting(data=data, scaled=Scaled(data, recipe).to(device), device=device)
    scaled, (inputs, outputs) = fitting.scaled, fitting.sizes
    held = min(len(data.train), setting.exact)
    needed = 8 * (held + len(data.val)) * (inputs + outputs) + 16 * held**2
    needed += 4 * len(data.train) * outputs if folded else 0
    fitting.check_memory(needed, called)
    score = fitting.scorer(scaled.predictions)
    regression = fitted(
        scaled.rows_of(train_samples(data, device)),
        Choice(
            penalties=setting.penalties,
            widths=setting.widths,
            inputs=torch.cat([x for x, _ in scaled.rows_of(fitting.val_samples).blocks()]),
            score=score,
            exact=setting.exact,
            landmarks=setting.landmarks,
        ),
    )
    return ClosedFormModel(scaled, regression)
