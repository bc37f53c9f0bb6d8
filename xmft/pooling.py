"""Putting the predictions for the rows of a group together: windows of a record, tiles of a map."""

from __future__ import annotations

import torch
from torch import Tensor

from xmft.errors import DataError
from xmft.samples import Decoded
from xmft.split import Split
from xmft.task import Pool


class Group:
    """The rows of one group, of which some are still to come."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Decoded]] = []
        self._rows: list[int] = []

    def add(self, row: int, prediction: Tensor, batch: Decoded) -> None:
        """Take the prediction for one row `[1, ...]`, and the row itself."""
        self._rows.append(row)
        self._parts.append((prediction, batch))

    def pooled(self, pool: Pool, split: Split) -> tuple[Tensor, Decoded]:
        """Return one prediction `[1, ...]` with its target.

        Args:
            pool: How; see `Task.pool`.
            split: Where the rows are from.

        Raises:
            DataError: stitched windows leave points of a sample uncovered.
        """
        predictions = torch.cat([prediction for prediction, _ in self._parts])
        first = self._parts[0][1]
        if pool == "mean":
            return predictions.mean(dim=0, keepdim=True), first
        if pool == "vote":
            return _votes(predictions), first
        return self._stitched(split)

    def _stitched(self, split: Split) -> tuple[Tensor, Decoded]:
        canvases = [
            _Canvas(split, self._rows, list(parts))
            for parts in zip(*((p, b.targets) for p, b in self._parts), strict=True)
        ]
        prediction, target = (canvas.mean() for canvas in canvases)
        weights = None
        if self._parts[0][1].weights is not None:
            parts = [
                torch.broadcast_to(b.weights, b.targets.shape)
                for _, b in self._parts
                if b.weights is not None
            ]
            weights = _Canvas(split, self._rows, parts).mean()
        return prediction, Decoded(self._parts[0][1].inputs, target, weights)


def _votes(logits: Tensor) -> Tensor:
    """Return how many rows hold each class for the likeliest, `[1, classes]`.

    Equal counts are decided by the mean probability, which is less than one vote.
    """
    votes = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1])
    return (votes + logits.softmax(dim=1).mean(dim=0) / 2)[None]


class _Canvas:
    """A whole sample `[1, channels, *grid]` on which windows are laid; where they overlap, mean."""

    def __init__(self, split: Split, rows: list[int], parts: list[Tensor]) -> None:
        windows = split.windows
        if windows is None:
            raise DataError("Predictions can be stitched where a split has windows; it has none.")
        sample = int(windows.table[rows[0], 0])
        shape = (1, parts[0].shape[1], *split.extent(sample))
        self._total = parts[0].new_zeros(shape)
        self._count = parts[0].new_zeros((1, 1, *shape[2:]))
        for row, part in zip(rows, parts, strict=True):
            starts = windows.table[row, 1:].tolist()
            total, count = self._total, self._count
            for axis, (start, width) in enumerate(zip(starts, windows.size, strict=True), start=2):
                total, count = total.narrow(axis, start, width), count.narrow(axis, start, width)
            total += part
            count += 1
        if not self._count.all():
            raise DataError(
                f"The windows of sample {sample} leave {int((self._count == 0).sum())} of its "
                "points uncovered, and predictions cannot be stitched. Lay them with cover=True."
            )

    def mean(self) -> Tensor:
        return self._total / self._count
