"""One array of a split as it is stored: kept on a device, or read from it batch by batch."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from xmft.arrays import Array, Indices, Ragged

# Samples copied at once.
_BLOCK = 1024
# Bytes read of a mapped file before its pages are given back.
_PAGES_BYTES = 2**27


class RaggedBatch(NamedTuple):
    """Samples of unequal length: `values` `[total, ...]` and `offsets` `[n + 1]`."""

    values: Tensor
    offsets: Int[Tensor, " n+1"]


def to_device(array: npt.NDArray[Any], device: torch.device) -> Tensor:
    """Return `array` on `device`; the CPU does not wait until it is there."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        # From pageable memory the copy would first wait for all that the GPU has yet to do.
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _uploaded(array: Array, device: torch.device) -> Tensor:
    """Copy a whole array, which may be a mapped file, without a second copy in main memory."""
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    whole = torch.empty(array.shape, dtype=kind, device=device)
    for start in range(0, len(array), _BLOCK):
        # A copy, because torch does not take arrays that must not be written to.
        block = np.array(array[start : start + _BLOCK])
        whole[start : start + _BLOCK] = torch.from_numpy(block)
    return whole


class _Pages:
    """The pages of a mapped file that were read, which count as memory of this process.

    They are given back from time to time: otherwise a run holds as much of a file as the machine
    has room for. The system still has them at hand, as long as it needs the room for nothing else.
    """

    def __init__(self, array: Array) -> None:
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        able = isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED")
        # What was written to a private mapping would be lost.
        self._mapping = base if able and not array.flags.writeable else None
        self._read = 0

    def were_read(self, size: int) -> None:
        """Take note of so many bytes."""
        self._read += size
        if self._mapping is not None and self._read > _PAGES_BYTES:
            self._mapping.madvise(mmap.MADV_DONTNEED)
            self._read = 0


class Stored:
    """One array of a split, on the device or read by batch."""

    def __init__(self, array: Array | Ragged, device: torch.device, *, resident: bool) -> None:
        self._device = device
        self._ragged = array if isinstance(array, Ragged) else None
        values = array.values if isinstance(array, Ragged) else array
        self._values: Array | Tensor = _uploaded(values, device) if resident else values
        self._pages = _Pages(values)

    def rows(self, samples: Indices) -> Tensor | RaggedBatch:
        """Return whole samples."""
        if self._ragged is not None:
            return self._whole(self._ragged, samples)
        if isinstance(self._values, Tensor):
            return self._values[to_device(samples, self._device)]
        # Indexing by numbers copies: nothing of a mapped file is shared.
        return self._copied(self._values[samples])

    def cut(self, samples: Indices, starts: Indices, size: tuple[int, ...]) -> Tensor:
        """Return the windows of `size` points from `starts` on."""
        pieces = []
        for sample, first in zip(samples.tolist(), starts.tolist(), strict=True):
            if self._ragged is not None:
                begin = int(self._ragged.offsets[sample]) + first[0]
                pieces.append(self._values[begin : begin + size[0]])
            else:
                parts = (slice(at, at + width) for at, width in zip(first, size, strict=True))
                pieces.append(self._values[(sample, ..., *parts)])
        return self._joined(pieces, torch.stack, np.stack)

    def _whole(self, ragged: Ragged, samples: Indices) -> RaggedBatch:
        bounds = ragged.offsets[samples], ragged.offsets[samples + 1]
        pieces = [self._values[a:b] for a, b in zip(*(x.tolist() for x in bounds), strict=True)]
        offsets = np.concatenate([[0], np.cumsum(bounds[1] - bounds[0])]).astype(np.int64)
        values = self._joined(pieces, torch.cat, np.concatenate)
        return RaggedBatch(values, to_device(offsets, self._device))

    def _joined(
        self, pieces: list[Any], of_tensors: Callable[..., Tensor], of_arrays: Callable[..., Array]
    ) -> Tensor:
        if isinstance(self._values, Tensor):
            return of_tensors(pieces)
        return self._copied(of_arrays(pieces))

    def _copied(self, array: Array) -> Tensor:
        self._pages.were_read(array.nbytes)
        return to_device(array, self._device)
