"""Images stored as bytes: floating point, random crops and reflections on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.samples import Decoded, Draws, Pieces


def to_floats(
    pieces: Pieces, *, mean: Sequence[float] = (0.0,), deviation: Sequence[float] = (1.0,)
) -> Decoded:
    """Decode bytes `[n, channels, height, width]` to (x / 255 - mean) / deviation.

    Args:
        pieces: Images and their labels.
        mean: Of each channel, of values from 0 to 1; or one for all.
        deviation: Likewise.
    """
    assert isinstance(pieces.inputs, Tensor) and isinstance(pieces.targets, Tensor)
    images = pieces.inputs.float() / 255
    centre, spread = (images.new_tensor(values).view(1, -1, 1, 1) for values in (mean, deviation))
    return Decoded((images - centre) / spread, pieces.targets.long())


def cropped_and_flipped(
    batch: Decoded, draws: Draws, *, border: int, black: Sequence[float]
) -> Decoded:
    """Move each image by up to `border` pixels on both axes, and reflect every second one.

    Args:
        batch: Decoded images.
        draws: Random numbers.
        border: Pixels that are added on every side before a crop of the old size is taken.
        black: Value of an added pixel in each channel.
    """
    images = batch.inputs
    (height, width), device = images.shape[2:], images.device
    value = images.new_tensor(black).view(1, -1, 1, 1)
    padded = functional.pad(images - value, [border] * 4) + value
    starts = draws.integers(2 * border + 1, (2,))
    rows = starts[:, :1] + torch.arange(height, device=device)
    columns = starts[:, 1:] + torch.arange(width, device=device)
    columns = torch.where(draws.uniform()[:, None] < 0.5, columns.flip(1), columns)
    return batch._replace(inputs=_gathered(padded, rows, columns))


def _gathered(images: Float[Tensor, "n c h w"], rows: Tensor, columns: Tensor) -> Tensor:
    """Return the pixels of each image at its own rows `[n, r]` and columns `[n, k]`."""
    number = torch.arange(len(images), device=images.device).view(-1, 1, 1)
    # Indexed axes come first and together: n r k c.
    return images.permute(0, 2, 3, 1)[number, rows[:, :, None], columns[:, None]].movedim(3, 1)
