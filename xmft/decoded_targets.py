"""Targets that are made as they are asked for: decoded, or seen in their canonical form."""

from __future__ import annotations

import numpy as np
import torch

from xmft.arrays import Array, Indices
from xmft.canonical import Canonical
from xmft.samples import train_samples
from xmft.task import TaskData

# Rows taken at once.
_ROWS = 64


class DecodedTargets:
    """Targets of the training rows, decoded as they are asked for; reads like an array."""

    def __init__(self, data: TaskData, canonical: Canonical | None = None) -> None:
        """Start; with a form, targets are as they are seen there."""
        self._samples = train_samples(data, torch.device("cpu"))
        self._canonical = canonical

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, rows: slice | Indices) -> Array:
        """Return the targets of some rows, `[n, ...]`."""
        chosen = np.arange(len(self), dtype=np.int64)[rows]
        parts = []
        for start in range(0, len(chosen), _ROWS):
            inputs, targets, _ = self._samples.take(chosen[start : start + _ROWS])
            if self._canonical is not None:
                targets = self._canonical.targets(targets, self._canonical.motion(inputs))
            parts.append(targets.numpy())
        return np.concatenate(parts)
