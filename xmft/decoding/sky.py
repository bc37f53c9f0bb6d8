"""Exposures of the sky stored flat with their background level, which training varies."""

from __future__ import annotations

from torch import Tensor

from xmft.samples import Decoded, Draws, Pieces


def exposures(pieces: Pieces, *, side: int) -> Decoded:
    """Decode rows of pixels and a level to images `[n, 1, side, side]` as they were taken."""
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    assert pieces.weights is not None
    images = pieces.inputs[:, :-1].unflatten(1, (1, side, side))
    return Decoded(images, pieces.targets.float(), pieces.weights.float())


def with_other_sky(batch: Decoded, draws: Draws, *, low: float, high: float) -> Decoded:
    """Add a random multiple of its background level to each exposure."""
    assert isinstance(draws.pieces.inputs, Tensor)
    added = draws.pieces.inputs[:, -1] * draws.uniform(low, high)
    return batch._replace(inputs=batch.inputs + added[:, None, None, None])
