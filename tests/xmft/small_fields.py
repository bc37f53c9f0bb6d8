"""Fields small enough for a model of any backbone."""

from __future__ import annotations

import numpy as np

from xmft.task import TaskData


def field_data(channels: int, grid: tuple[int, ...], outputs: int = 1, count: int = 8) -> TaskData:
    """Return samples of noise whose targets are fields of their mean."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((count, channels, *grid)).astype(np.float32)
    # Smooth enough for an image of merged tokens to show.
    means = inputs.reshape(count, -1).mean(axis=1).reshape(-1, 1, *[1] * len(grid))
    targets = np.broadcast_to(means, (count, outputs, *grid)).astype(np.float32)
    pair = inputs, targets
    return TaskData.from_arrays("toy/fields", train=pair, val=pair, test=pair, kind="dense")
