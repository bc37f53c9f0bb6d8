"""Fields moved by the symmetries of their equation, by whole points: nothing is interpolated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from xmft.symmetries import Symmetries


@dataclass(frozen=True, kw_only=True)
class Motion:
    """What is done to each sample of a batch, in this order.

    Attributes:
        exchanged: Whether the two axes are exchanged.
        mirrored: Whether an axis is reflected.
        shift: By how many points fields move round an axis.
        drift: By how many more the targets do, because the frame of reference moves.
    """

    exchanged: Bool[Tensor, " n"]
    mirrored: Bool[Tensor, "n axes"]
    shift: Int[Tensor, "n axes"]
    drift: Int[Tensor, "n axes"]

    def undone(self) -> Motion:
        """Return what brings samples back whose axes were not exchanged."""
        # A reflection turns a shift round that it comes before.
        back = torch.where(self.mirrored, 1, -1)
        return replace(self, shift=back * self.shift, drift=back * self.drift)


def moved(
    symmetries: Symmetries, inputs: Tensor, targets: Tensor, motion: Motion
) -> tuple[Tensor, Tensor]:
    """Move samples.

    Args:
        symmetries: Say which channels are components of vectors, and how fast frames are.
        inputs: `[n, channels, *grid]`, in physical units.
        targets: Likewise.
        motion: What is done to each.
    """
    return moved_inputs(symmetries, inputs, motion), moved_targets(symmetries, targets, motion)


def moved_inputs(symmetries: Symmetries, inputs: Tensor, motion: Motion) -> Tensor:
    """Move the inputs of samples alone; arguments as `moved`."""
    return _moved(inputs, symmetries.inputs, motion, _velocity(symmetries, inputs, motion))


def moved_targets(symmetries: Symmetries, targets: Tensor, motion: Motion) -> Tensor:
    """Move their targets alone, which a frame that moves has left behind."""
    later = replace(motion, shift=motion.shift + motion.drift)
    return _moved(targets, symmetries.targets, later, _velocity(symmetries, targets, motion))


def _velocity(symmetries: Symmetries, x: Tensor, motion: Motion) -> Tensor:
    """Return what is added to the components of vectors, `[n, axes]`."""
    if symmetries.galilean is None:
        return torch.zeros_like(motion.drift, dtype=x.dtype)
    lengths = torch.tensor(x.shape[2:], device=x.device)
    return (motion.drift / lengths * symmetries.galilean.crossing).to(x.dtype)


def _moved(x: Tensor, components: tuple[int | None, ...], motion: Motion, speed: Tensor) -> Tensor:
    """Move one of them; `components` and `speed` `[n, axes]` say what becomes of vectors."""
    axes = x.ndim - 2
    if axes == 2 and motion.exchanged.any():
        turned = x.transpose(2, 3)[:, _partners(components, x.shape[1])]
        x = torch.where(motion.exchanged[:, None, None, None], turned, x)
    rows = torch.arange(len(x), device=x.device)
    places = [rows.view(-1, *[1] * (axes + 1)), torch.arange(x.shape[1], device=x.device)]
    places[1] = places[1].view(1, -1, *[1] * axes)
    for axis in range(axes):
        points = x.shape[2 + axis]
        place = torch.arange(points, device=x.device) - motion.shift[:, axis, None]
        place = place.remainder(points)
        place = torch.where(motion.mirrored[:, axis, None], points - 1 - place, place)
        shape = [len(x), 1, *[1] * axes]
        shape[2 + axis] = points
        places.append(place.view(shape))
    x = x[tuple(places)]
    if not any(component is not None for component in components):
        return x
    sign = torch.ones(x.shape[:2], dtype=x.dtype, device=x.device)
    added = torch.zeros_like(sign)
    for channel, along in enumerate(components):
        if along is not None:
            sign[:, channel] = torch.where(motion.mirrored[:, along], -1.0, 1.0)
            added[:, channel] = speed[:, along]
    shape = [*x.shape[:2], *[1] * axes]
    return x * sign.view(shape) + added.view(shape)


def _partners(components: tuple[int | None, ...], channels: int) -> list[int]:
    """Return for each channel the one that takes its place when the axes are exchanged."""
    partners = list(range(channels))
    along = [[c for c, axis in enumerate(components) if axis == a] for a in (0, 1)]
    for first, second in zip(*along, strict=True):
        partners[first], partners[second] = second, first
    return partners
