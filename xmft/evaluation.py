"""Exact scores of a split, shared between the workers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from xmft.metrics import Metric, PerSample, Reduction
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
    """Return the score of every metric over all `samples`.

    Each worker takes every world_size-th sample; statistics are reduced in float64, so the result
    does not depend on batches or the number of workers beyond the last digits of the forward pass.
    """
    model.eval()
    mine = np.arange(len(samples))[session.rank :: session.world_size]
    # A worker without samples looks at the first one, uncounted, to learn the statistics' shapes.
    batches = [mine[i : i + _BATCH] for i in range(0, len(mine), _BATCH)] or [np.zeros(1, int)]
    # Metrics that differ only in how they finish share their statistics.
    totals = {(metric.per_sample, metric.reduction): _Total(metric) for metric in metrics}
    with torch.inference_mode():
        for rows in batches:
            inputs, targets = samples.take(rows)
            with torch.autocast(
                session.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
            ):
                predictions = model(inputs).float()
            for total in totals.values():
                total.add(predictions, targets, counted=len(mine) > 0)
    reduced = {key: total.reduce(session, len(samples)) for key, total in totals.items()}
    return {
        metric.name: metric.finish(reduced[metric.per_sample, metric.reduction]).item()
        for metric in metrics
    }


class _Total:
    """What a worker keeps of the statistics of its samples: their sum, or their maximum."""

    def __init__(self, metric: Metric) -> None:
        self._per_sample: PerSample = metric.per_sample
        self._reduction: Reduction = metric.reduction
        self._value: Tensor | None = None

    def add(self, predictions: Tensor, targets: Tensor, *, counted: bool) -> None:
        statistics = self._per_sample(predictions, targets).double()
        if self._reduction == "max":
            # Uncounted or not: a sample of the split cannot exceed the split's maximum.
            value, merge = statistics.amax(dim=0), torch.maximum
        else:
            value, merge = statistics[: None if counted else 0].sum(dim=0), torch.add
        self._value = value if self._value is None else merge(self._value, value)

    def reduce(self, session: Session, count: int) -> Tensor:
        """Reduce over the `count` samples of all workers."""
        assert self._value is not None
        if self._reduction == "max":
            return session.max(self._value).cpu()
        return (session.sum(self._value) / count).cpu()
