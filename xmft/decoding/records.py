"""Windows of recorded signals, scaled by the whole record that they are cut from."""

from __future__ import annotations

import torch
from torch import Tensor

from xmft.samples import Decoded, Pieces
from xmft.stored import RaggedBatch


def standardised_windows(pieces: Pieces, size: int) -> Decoded:
    """Cut a window out of each record, scaled to mean 0 and standard deviation 1 of the record.

    The sums over a record are those of whole numbers, and exact. A constant record becomes zeros.

    Args:
        pieces: Records `[length]` of integers of at most 16 bits, whole, and where windows start.
        size: Points of a window.

    Returns:
        Inputs `[n, 1, size]` and the labels `[n]`.
    """
    assert isinstance(pieces.inputs, RaggedBatch) and isinstance(pieces.targets, Tensor)
    assert pieces.starts is not None
    values, offsets = pieces.inputs
    begin, count = offsets[:-1], offsets.diff()
    total, squares = (_sums(numbers, offsets) for numbers in (values.long(), values.long() ** 2))
    mean = total.double() / count
    # n^2 times the variance; both products stay below 2^63 up to a billion points.
    spread = count * squares - total**2
    deviation = spread.double().sqrt() / count
    places = begin[:, None] + pieces.starts[:, :1] + torch.arange(size, device=begin.device)
    windows = (values[places].double() - mean[:, None]) / torch.where(spread > 0, deviation, 1.0)[
        :, None
    ]
    return Decoded(windows.float()[:, None], pieces.targets.long())


def _sums(numbers: Tensor, offsets: Tensor) -> Tensor:
    """Return the sum over each sample, `[n]`."""
    upto = torch.nn.functional.pad(numbers.cumsum(dim=0), (1, 0))
    return upto[offsets].diff()
