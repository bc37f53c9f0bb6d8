"""A closed form whose residual a network learns: the `base` of a recipe.

The network is trained beside predictions of the closed form that did not see the sample: a kernel
nearly passes through what it was fitted to, and would leave nothing to learn there.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xmft.arrays import Array, Indices
from xmft.closed_forms.fitting import WIDTHS, ClosedFormModel, Setting, fit_closed_form
from xmft.errors import RequestError
from xmft.metrics import LOSSES
from xmft.recipe import Recipe
from xmft.regression import out_of_fold
from xmft.samples import Samples, train_samples
from xmft.seeding import generator
from xmft.stored import to_device
from xmft.task import Task, TaskData

FOLDS = 5
# Below this share of the targets' spread a residual is rounding of float32.
_ROUNDING = 1e-6


class ClosedFormBase:
    """A fitted closed form, and what it says of training samples it did not see.

    No module, so that nothing of it is among the parameters, buffers and states of a model.

    Attributes:
        model: From inputs to fields in physical units; the fit to the whole training split.
        spread: Root mean square of the residual that is left out of fold, `[channels, 1, ...]`.
    """

    def __init__(
        self, model: ClosedFormModel, unseen: Array, spread: Tensor, device: torch.device
    ) -> None:
        """Create.

        Args:
            model: The fit.
            unseen: Predictions out of fold for the training split, float32 `[N, channels, *grid]`.
            spread: See above.
            device: Where predictions are wanted.
        """
        self.model, self.spread = model, spread
        self._unseen, self._device = unseen, device

    @property
    def params(self) -> int:
        """How many coefficients were fitted."""
        return self.model.regression.coefficients.numel()

    def __call__(self, inputs: Tensor) -> Float[Tensor, "n channels ..."]:
        """Predict, in float64 whatever the precision of the network."""
        with torch.no_grad(), torch.autocast(inputs.device.type, enabled=False):
            predictions: Tensor = self.model(inputs.float())
        return predictions

    def of_training(self, rows: Indices) -> Float[Tensor, "n channels ..."]:
        """Return the predictions for rows of the training split, out of fold."""
        return to_device(self._unseen[rows], self._device)

    def to(self, device: torch.device) -> None:
        """Move to another device."""
        self.model.to(device)
        self._device = device


def check_base(
    task: Task, recipe: Recipe, *, windows: bool, decoded: bool, augmented: bool
) -> None:
    """Make sure that a task can be learned from the base of a recipe.

    Args:
        task: The task.
        recipe: Names the base.
        windows: Whether samples are cut to windows.
        decoded: Whether they are decoded batch by batch.
        augmented: Whether they are changed in training.

    Raises:
        RequestError: it cannot.
    """
    if recipe.base == "mean":
        return
    if recipe.residual:
        raise RequestError(
            f"{task.name}: residual=true adds the network to the input, base '{recipe.base}' to a "
            "closed form, and what that leaves is nothing like the input. Choose one of them."
        )
    reasons = {
        f"it is a {task.kind} task": task.kind != "dense",
        "its targets are logits": LOSSES[task.loss].logits,
        "its samples are cut to windows": windows,
        "its samples are decoded batch by batch": decoded,
        "its samples are augmented, and a base predicts them as they are": augmented,
    }
    for reason, holds in reasons.items():
        if holds:
            raise RequestError(
                f"{task.name}: base '{recipe.base}' is for whole fields, but {reason}. Set "
                "`base: mean` for this task (in a grid under per_task, unless per_method says the "
                "base), or leave the task out."
            )


def base_of(data: TaskData, recipe: Recipe, device: torch.device) -> ClosedFormBase | None:
    """Fit the base of a recipe, as the method of that name is fitted; None for the mean.

    Width and penalty are those of the whole training split in each of the folds, which are drawn
    from the number of samples alone.

    Args:
        data: The task's splits.
        recipe: Names the base.
        device: Where to compute, and where predictions are wanted.

    Raises:
        RequestError: the task or its size is none for it.
    """
    if recipe.base == "mean":
        return None
    splits = data.splits.values()
    check_base(
        data.task,
        recipe,
        windows=any(split.windows is not None for split in splits),
        decoded=data.decode is not None,
        augmented=data.augment is not None,
    )
    count = len(data.train)
    if count < FOLDS:
        raise RequestError(
            f"{data.task.name}: base '{recipe.base}' needs at least {FOLDS} training samples, "
            f"found {count}. Use more, or `base: mean`."
        )
    setting = Setting(widths=WIDTHS if recipe.base == "kernel" else ())
    called = f"base '{recipe.base}'"
    model = fit_closed_form(data, recipe, setting, device, called=called, folded=True)
    scaled, train = model.scaled, train_samples(data, device)
    folds = torch.from_numpy(generator("folds", count).permutation(count) % FOLDS)
    unseen = np.empty((count, *scaled.shapes[1]), dtype=np.float32)
    with torch.no_grad():
        for rows, guess in out_of_fold(scaled.rows_of(train), model.regression, folds):
            inputs = train.take(rows.numpy()).inputs
            unseen[rows.numpy()] = scaled.predictions(guess, inputs).cpu().numpy()
        left = _root_mean_square(train, unseen, device)
    smallest = _ROUNDING * scaled.output_scale
    return ClosedFormBase(model, unseen, torch.maximum(left.float(), smallest), device)


def _root_mean_square(train: Samples, unseen: Array, device: torch.device) -> Tensor:
    """Return the size of the residual of each channel where targets have weight, float64."""
    squares, counts = torch.zeros((), device=device), torch.zeros((), device=device)
    for start in range(0, len(train), 256):
        rows = np.arange(start, min(start + 256, len(train)), dtype=np.int64)
        batch = train.take(rows)
        left = (batch.targets - to_device(unseen[rows], device)).double()
        known = torch.ones_like(left)
        if batch.weights is not None:
            known = known * (batch.weights > 0)
        axes = (0, *range(2, left.ndim))
        squares = squares + (known * left.square()).sum(dim=axes)
        counts = counts + known.sum(dim=axes)
    size = (squares / counts.clamp_min(1)).sqrt()
    return size.reshape(-1, *[1] * (unseen.ndim - 2))
