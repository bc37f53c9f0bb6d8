"""Exposures of the sky: pixels stored in a line, the level of the sky behind them."""

from __future__ import annotations

from torch import Tensor

from xmft.samples import Decoded, Draws, Pieces


def images_and_masks(pieces: Pieces, *, side: int) -> Decoded:
    """Make images of lines, and floating point of masks in bytes.

    Args:
        pieces: Inputs float32 `[n, side * side + 1]`, the last value the level of the sky; masks
            and weights `[n, 1, side, side]` in bytes.
        side: Pixels of each axis.
    """
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    assert pieces.weights is not None
    images = pieces.inputs[:, :-1].reshape(-1, 1, side, side)
    return Decoded(images, pieces.targets.float(), pieces.weights.float())


def with_more_or_less_sky(batch: Decoded, draws: Draws, *, low: float, high: float) -> Decoded:
    """Add to each image `low` to `high` times the level of its sky, the same to all pixels.

    That stands for another time of exposure.
    """
    assert isinstance(draws.pieces.inputs, Tensor)
    added = draws.pieces.inputs[:, -1] * draws.uniform(low, high)
    return batch._replace(inputs=batch.inputs + added.view(-1, 1, 1, 1))
