"""Exact scores of a split, shared between the workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xmft.metrics import Metric, PerSample, Reduction
from xmft.session import Session
from xmft.stages import Indices
from xmft.task import Precision, Split, TaskData

# Memory for splits that are read once and stay; others are read by batch.
_RESIDENT_BYTES = 512 * 2**20
_RESIDENT_SHARE = 1 / 4
_BATCH = 256
# Samples copied at once.
_BLOCK = 1024


def forward_pass(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context for a forward pass on `device`.

    In `bfloat16` matrix products are computed in half the digits; parameters, their gradients and
    the optimizer's state stay in float32, and so do operations that need the digits (norms,
    softmax, losses).
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return `array` on `device`; the CPU does not wait until it is there."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        # From pageable memory the copy would first wait for all that the GPU has yet to do.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _uploaded(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Copy a whole array, which may be a mapped file, without a second copy in main memory."""
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    whole = torch.empty(array.shape, dtype=kind, device=device)
    for start in range(0, len(array), _BLOCK):
        # A copy, because torch does not take arrays that must not be written to.
        block = np.array(array[start : start + _BLOCK])
        whole[start : start + _BLOCK] = torch.from_numpy(block)
    return whole


class Samples:
    """Batches of a split on a device.

    Attributes:
        resident_bytes: What the split takes of the device's memory; 0: it is read by batch.
    """

    def __init__(self, split: Split, device: torch.device, *, limit: int = _RESIDENT_BYTES) -> None:
        """Read the split if it takes at most `limit` bytes; then it stays on `device`."""
        self._split = split
        self._device = device
        self._resident: tuple[Tensor, Tensor] | None = None
        self.resident_bytes = 0
        size = split.inputs.nbytes + split.targets.nbytes
        if size <= limit:
            self._resident = _uploaded(split.inputs, device), _uploaded(split.targets, device)
            self.resident_bytes = size

    def __len__(self) -> int:
        return len(self._split)

    def take(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """Return inputs and targets of the samples `indices`."""
        if self._resident is None:
            return self._read(indices)
        rows = to_device(indices, self._device)
        return self._resident[0][rows], self._resident[1][rows]

    def _read(self, indices: Indices) -> tuple[Tensor, Tensor]:
        # Indexing by numbers copies: nothing of a mapped file is shared.
        inputs, targets = self._split.inputs[indices], self._split.targets[indices]
        return to_device(inputs, self._device), to_device(targets, self._device)


def samples_of(
    data: TaskData, device: torch.device, *, limit: int | None = None
) -> dict[str, Samples]:
    """Return the samples of `train`, `val` and `test`, in `device`'s memory as far as they fit.

    Args:
        data: The task's splits.
        device: Where the model lives.
        limit: Most bytes that may stay there in all; None: on a GPU a quarter of what is free, in
            main memory 512 MiB.
    """
    if limit is None:
        limit = _RESIDENT_BYTES
        if device.type == "cuda":
            limit = int(_RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])
    samples = {}
    for name in ("train", "val", "test"):
        samples[name] = Samples(getattr(data, name), device, limit=limit)
        limit -= samples[name].resident_bytes
    return samples


def evaluate(
    model: nn.Module,
    samples: Samples,
    metrics: Sequence[Metric],
    session: Session,
    *,
    precision: Precision = "float32",
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
            with forward_pass(session.device, precision):
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
