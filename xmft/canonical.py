"""One form for all samples that symmetries make of one another: canonicalisation.

A model behind it commutes with the symmetries, whatever its network: inputs are moved to where and
how fast samples are always seen, and predictions back (Kaba et al. 2023, "Equivariance with learned
canonicalization functions"; here nothing of it is learned). All moves are by whole points, so that
no value is interpolated, and going back undoes them to rounding.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from xmft.errors import RequestError
from xmft.motions import Motion, moved_inputs, moved_targets
from xmft.recipe import Recipe
from xmft.symmetries import Symmetries
from xmft.task import Task

# Factor from one wavenumber to the next: broad enough that small waves do not choose the crest.
_SMOOTHING = 0.5


class Canonical:
    """Where, which way round and in which frame of reference a sample is always seen.

    Along periodic axes it is moved so that the crest of its first channel, smoothed, lies in the
    middle. Where they can be reflected, the side of the crest on which the field falls off less is
    behind it; of a velocity along the axis, crests are higher than troughs are deep. Where frames
    of reference are a symmetry, it is seen from the one in which the input is at rest in the mean,
    to within what a whole point of drift is.

    Attributes:
        symmetries: Of the task's equation.
    """

    def __init__(self, symmetries: Symmetries) -> None:
        self.symmetries = symmetries

    def motion(self, inputs: Float[Tensor, "n c ..."]) -> Motion:
        """Return what brings each sample there, by its input in physical units alone."""
        # In float64, and without gradients: which way a rounding goes must not depend on the batch.
        x = inputs.detach().double()
        axes = x.ndim - 2
        still = torch.zeros(len(x), axes, dtype=torch.int64, device=x.device)
        mirrored = torch.stack([self._mirrored(x, axis) for axis in range(axes)], dim=1)
        turned = Motion(
            exchanged=mirrored.new_zeros(len(x)), mirrored=mirrored, shift=still, drift=still
        )
        x = moved_inputs(self.symmetries, x, turned)
        return Motion(
            exchanged=turned.exchanged,
            mirrored=mirrored,
            shift=torch.stack([self._shift(x, axis) for axis in range(axes)], dim=1),
            drift=torch.stack([self._drift(x, axis) for axis in range(axes)], dim=1),
        )

    def inputs(self, inputs: Tensor, motion: Motion) -> Tensor:
        """Return inputs as they are seen there."""
        return moved_inputs(self.symmetries, inputs, motion)

    def targets(self, targets: Tensor, motion: Motion) -> Tensor:
        """Return targets, or predictions, as they are seen there."""
        return moved_targets(self.symmetries, targets, motion)

    def back(self, targets: Tensor, motion: Motion) -> Tensor:
        """Return targets, or predictions, as they were before."""
        return moved_targets(self.symmetries, targets, motion.undone())

    def _mirrored(self, x: Tensor, axis: int) -> Tensor:
        known = self.symmetries
        if axis not in known.mirrored or axis not in known.periodic:
            return torch.zeros(len(x), dtype=torch.bool, device=x.device)
        profile = _profile(x, axis)
        if known.inputs and known.inputs[0] == axis:
            return profile.amax(dim=1) < -profile.amin(dim=1)
        points = profile.shape[1]
        behind = torch.arange(points, device=x.device) - profile.argmax(dim=1, keepdim=True)
        return (profile * torch.sin(2 * math.pi / points * behind)).sum(dim=1) < 0

    def _shift(self, x: Tensor, axis: int) -> Tensor:
        if axis not in self.symmetries.periodic:
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return x.shape[2 + axis] // 2 - _profile(x, axis).argmax(dim=1)

    def _drift(self, x: Tensor, axis: int) -> Tensor:
        known, frames = self.symmetries, self.symmetries.galilean
        if frames is None or axis not in known.periodic or axis not in known.inputs:
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        speed = x[:, known.inputs.index(axis)].flatten(1)
        weight = torch.ones_like(speed) if frames.density is None else x[:, frames.density]
        weight = weight.flatten(1)
        mean = (weight * speed).sum(dim=1) / weight.sum(dim=1)
        return -(mean / frames.crossing * x.shape[2 + axis]).round().long()


def _profile(x: Tensor, axis: int) -> Float[Tensor, "n points"]:
    """Return the first channel along one axis: its mean over the others, smoothed, around 0."""
    field = x[:, 0].movedim(1 + axis, -1)
    field = field.reshape(len(x), -1, field.shape[-1]).mean(dim=1)
    spectrum = torch.fft.rfft(field - field.mean(dim=1, keepdim=True))
    waves = torch.arange(spectrum.shape[1], device=x.device)
    return torch.fft.irfft(spectrum * _SMOOTHING**waves, n=field.shape[1])


def canonical_of(task: Task, recipe: Recipe | None) -> Canonical | None:
    """Return the canonical form of a task's samples; None where the recipe wants none.

    Raises:
        RequestError: nothing in the task's equation tells one.
    """
    if recipe is None or not recipe.canonical:
        return None
    check_canonical(task, recipe)
    assert task.symmetries is not None
    return Canonical(task.symmetries)


def check_canonical(task: Task, recipe: Recipe) -> None:
    """Refuse a canonical form of a task whose samples cannot be moved; raises as `canonical_of`."""
    if not recipe.canonical or (task.symmetries is not None and task.symmetries.periodic):
        return
    raise RequestError(
        f"canonical=true: the samples of '{task.name}' cannot be moved along any axis so that they "
        "stay solutions. Leave canonical at false for this task (per_task in a grid)."
    )
