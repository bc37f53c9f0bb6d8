"""One form for all samples that symmetries make of one another: canonicalisation.

A model behind it commutes with the symmetries, whatever its network: inputs are moved to where and
how fast samples are always seen, and predictions back (Kaba et al. 2023, "Equivariance with learned
canonicalization functions"; here nothing of it is learned). All moves are by whole points, so that
no value is interpolated, and going back undoes them to rounding.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.metrics import LOSSES
from xmft.motions import Motion, moved_inputs, moved_targets
from xmft.recipe import Recipe
from xmft.symmetries import Symmetries
from xmft.task import Task, TaskData

VERSION = 1
"""Raised when samples start to have another form: what is kept of the form is then made anew."""
# Factor from one wavenumber to the next: broad enough that small waves do not choose the crest.
_SMOOTHING = 0.5


class Canonical:
    """Where, which way round and in which frame of reference a sample is always seen.

    What follows looks at the first channel, smoothed. Along periodic axes a sample is moved so that
    the crest lies in the middle. Where axes can be reflected as well, the field weighs more on the
    far side of the crest than on the near one; of a velocity along the axis, which a reflection
    turns upside down, crest and trough are compared instead. Where frames of reference are a
    symmetry, a sample is seen from the one in which the input is at rest in the mean, to within
    what a whole point of drift is.

    Attributes:
        symmetries: Of the task's equation.
        key: Names the form, in files that are kept.
    """

    def __init__(self, symmetries: Symmetries) -> None:
        self.symmetries = symmetries
        known = hashlib.sha256(repr(symmetries).encode()).hexdigest()
        self.key = f"canonical-v{VERSION}-{known[:12]}"

    def motion(self, inputs: Float[Tensor, "n c ..."]) -> Motion:
        """Return what brings each sample there, by its input in physical units alone."""
        # In float64, and without gradients: which way a rounding goes must not depend on the batch.
        x = inputs.detach().double()
        axes, known = x.ndim - 2, self.symmetries
        still = torch.zeros(len(x), axes, dtype=torch.int64, device=x.device)
        mirrored = torch.zeros_like(still, dtype=torch.bool)
        for axis in self._reflected():
            # One after the other: what turns a velocity round comes first, and moves its crest.
            turn = torch.zeros_like(mirrored)
            turn[:, axis] = self._leans(x, axis) < 0
            x = moved_inputs(known, x, _motion(turn, still, still))
            mirrored |= turn
        crest = _places(self._smoothed(x).flatten(1).argmax(dim=1), x)
        middle = torch.tensor(x.shape[2:], device=x.device) // 2
        periodic = torch.tensor([axis in known.periodic for axis in range(axes)], device=x.device)
        drift = torch.stack([self._drift(x, axis) for axis in range(axes)], dim=1)
        return _motion(mirrored, torch.where(periodic, middle - crest, 0), drift)

    def inputs(self, inputs: Tensor, motion: Motion) -> Tensor:
        """Return inputs as they are seen there."""
        return moved_inputs(self.symmetries, inputs, motion)

    def targets(self, targets: Tensor, motion: Motion) -> Tensor:
        """Return targets, or predictions, as they are seen there."""
        return moved_targets(self.symmetries, targets, motion)

    def back(self, targets: Tensor, motion: Motion) -> Tensor:
        """Return targets, or predictions, as they were before."""
        return moved_targets(self.symmetries, targets, motion.undone())

    def _reflected(self) -> Iterator[int]:
        known = self.symmetries
        axes = [axis for axis in known.mirrored if axis in known.periodic]
        yield from sorted(axes, key=lambda axis: not self._turns(axis))

    def _turns(self, axis: int) -> bool:
        """Return whether a reflection turns the first channel upside down."""
        return bool(self.symmetries.inputs) and self.symmetries.inputs[0] == axis

    def _leans(self, x: Tensor, axis: int) -> Float[Tensor, " n"]:
        """Return what a reflection gives the other sign, and a shift leaves as it is."""
        field = self._smoothed(x)
        flat = field.flatten(1)
        lean = self._behind(field, flat.argmax(dim=1), axis)
        if not self._turns(axis):
            return lean
        # Where waves come again upside down, crests are as high as troughs are deep.
        height = flat.amax(dim=1) + flat.amin(dim=1)
        return height + lean - self._behind(field, flat.argmin(dim=1), axis)

    def _behind(self, field: Tensor, place: Tensor, axis: int) -> Float[Tensor, " n"]:
        """Return how much more a field weighs behind a place than before it, along an axis.

        Weights rise with the distance, and fall off along the other periodic axes: fields whose
        mean along one of them is the same everywhere are common.
        """
        weight = field.new_ones(())
        for other, start in enumerate(_places(place, field[:, None]).T):
            points = field.shape[1 + other]
            away = (torch.arange(points, device=field.device) - start[:, None]).remainder(points)
            away = away / points
            if other == axis:
                own = torch.where(away < 0.5, away, away - 1).where(away != 0.5, 0.0)
            elif other in self.symmetries.periodic:
                own = (1 + torch.cos(2 * math.pi * away)) / 2
            else:
                own = torch.ones_like(away)
            shape = [len(field), *[1] * (field.ndim - 1)]
            shape[1 + other] = points
            weight = weight * own.reshape(shape)
        return 4 * (weight * field).flatten(1).mean(dim=1)

    def _smoothed(self, x: Tensor) -> Float[Tensor, "n ..."]:
        """Return the first channel around 0, smoothed; its mean along axes without a period."""
        grid, every = x.shape[2:], tuple(range(1, x.ndim - 1))
        field = x[:, 0] - x[:, 0].flatten(1).mean(dim=1).reshape(-1, *[1] * len(grid))
        spectrum = torch.fft.fftn(field, dim=every)
        for axis, points in enumerate(grid):
            waves = torch.fft.fftfreq(points, d=1 / points, dtype=x.dtype, device=x.device).abs()
            own = _SMOOTHING**waves if axis in self.symmetries.periodic else (waves == 0).to(x)
            spectrum = spectrum * own.reshape(-1, *[1] * (len(grid) - 1 - axis))
        return torch.fft.ifftn(spectrum, dim=every).real

    def _drift(self, x: Tensor, axis: int) -> Tensor:
        known, frames = self.symmetries, self.symmetries.galilean
        if frames is None or axis not in known.periodic or axis not in known.inputs:
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        speed = x[:, known.inputs.index(axis)].flatten(1)
        weight = torch.ones_like(speed) if frames.density is None else x[:, frames.density]
        weight = weight.flatten(1)
        mean = (weight * speed).sum(dim=1) / weight.sum(dim=1)
        # A density that is none, around 0, has no mean velocity.
        mean = torch.where((mean - speed.amin(dim=1)) * (mean - speed.amax(dim=1)) <= 0, mean, 0.0)
        return -(mean / frames.crossing * x.shape[2 + axis]).round().long()


def _motion(mirrored: Tensor, shift: Tensor, drift: Tensor) -> Motion:
    return Motion(
        exchanged=torch.zeros_like(mirrored[:, 0]), mirrored=mirrored, shift=shift, drift=drift
    )


def _places(flat: Tensor, x: Tensor) -> Tensor:
    """Return places `[n, axes]` on the grid of `x` `[n, c, *grid]` for their numbers `[n]`."""
    return torch.stack(torch.unravel_index(flat, x.shape[2:]), dim=1)


def canonical_of(data: TaskData, recipe: Recipe | None) -> Canonical | None:
    """Return the canonical form of a task's samples; None where the recipe or the task has none.

    Weights of targets and windows are not moved, so that data with them have none.
    """
    if recipe is None or not suited(recipe, data.task).canonical:
        return None
    if any(s.weights is not None or s.windows is not None for s in data.splits.values()):
        return None
    assert data.task.symmetries is not None
    return Canonical(data.task.symmetries)


def suited(recipe: Recipe, task: Task, own: Collection[str] = ()) -> Recipe:
    """Return a recipe without the canonical form where a task's samples have none.

    They have one where fields are predicted that can be moved along an axis, as the protocol has
    them, so that they stay solutions.

    Args:
        recipe: As asked for.
        task: The task.
        own: Fields that are said of a method alone: what it is, and the same on all tasks.
    """
    if not recipe.canonical or "canonical" in own:
        return recipe
    fields = task.kind == "dense" and not LOSSES[task.loss].logits
    if fields and task.symmetries is not None and task.symmetries.periodic:
        return recipe
    return recipe.without({"canonical"})
