"""Exact scores of a split, shared between the workers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from xmft.metrics import Metric
from xmft.session import Session
from xmft.stages import Indices
from xmft.task import Split

# Splits up to this size are read once and stay on the device; larger ones are read by batch.
_RESIDENT_BYTES = 512 * 2**20
_BATCH = 256


class Samples:
    """Batches of a split on a device."""

    def __init__(self, split: Split, device: torch.device) -> None:
        """Read the split if it is small enough to stay on `device`."""
        self._split = split
        self._device = device
        self._resident: tuple[Tensor, Tensor] | None = None
        if split.inputs.nbytes + split.targets.nbytes <= _RESIDENT_BYTES:
            self._resident = self._read(np.arange(len(split)))

    def __len__(self) -> int:
        return len(self._split)

    def take(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the samples `indices`."""
        if self._resident is None:
            return self._read(indices)
        rows = torch.from_numpy(indices).to(self._device)
        return self._resident[0][rows], self._resident[1][rows]

    def _read(self, indices: Indices) -> tuple[Tensor, Tensor]:
        # np.array copies: the file is mapped read-only, and torch wants to own its memory.
        inputs = torch.from_numpy(np.array(self._split.inputs[indices]))
        targets = torch.from_numpy(np.array(self._split.targets[indices]))
        return inputs.to(self._device), targets.to(self._device)


def evaluate(
    model: nn.Module,
    samples: Samples,
    metrics: Sequence[Metric],
    session: Session,
    *,
    precision: str = "float32",
) -> dict[str, float]:
    """Return the mean of every metric over all `samples`.

    Each worker takes every world_size-th sample; sums are float64, so the result does not depend
    on the number of workers beyond the last digits of the forward pass.
    """
    model.eval()
    mine = np.arange(len(samples))[session.rank :: session.world_size]
    sums = torch.zeros(len(metrics), dtype=torch.float64, device=session.device)
    with torch.inference_mode():
        for start in range(0, len(mine), _BATCH):
            inputs, targets = samples.take(mine[start : start + _BATCH])
            with torch.autocast(
                session.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
            ):
                predictions = model(inputs)
            for i, metric in enumerate(metrics):
                sums[i] += metric.per_sample(predictions.float(), targets).double().sum()
    means = session.sum(sums) / len(samples)
    return dict(zip((metric.name for metric in metrics), means.tolist(), strict=True))
