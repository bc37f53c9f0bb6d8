"""Sequences of symbols, one-hot in bytes."""

from __future__ import annotations

from torch import Tensor

from xmft.samples import Decoded, Pieces


def one_hot_channels(pieces: Pieces) -> Decoded:
    """Make the symbols channels: bytes `[n, length, symbols]` to float32 `[n, symbols, length]`.

    The labels become float32.
    """
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    # Turned around while there is one byte a value, then made floating point in that order.
    return Decoded(pieces.inputs.transpose(1, 2).contiguous().float(), pieces.targets.float())
