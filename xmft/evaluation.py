"""Exact scores of a split, shared between the workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xmft.arrays import Indices
from xmft.errors import DataError, StoppedError
from xmft.metrics import Metric, Unit
from xmft.pooling import Group
from xmft.recipe import Precision
from xmft.samples import Decoded, Samples
from xmft.session import Session
from xmft.task import Pool, TaskData

# Most rows scored at once, and most bytes of them; every layer holds some times as much.
_BATCH = 256
_BATCH_BYTES = 512 * 2**20


def forward_pass(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context for a forward pass on `device`.

    In `bfloat16` matrix products are computed in half the digits; parameters, their gradients and
    the optimizer's state stay in float32, and so do operations that need the digits (norms,
    softmax, losses).
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def rows_at_once(samples: Samples) -> int:
    """Return how many rows are scored in one batch."""
    return min(_BATCH, max(1, _BATCH_BYTES // max(1, samples.row_bytes())))


def scored_by(scores: Mapping[str, float], metric: Metric, data: TaskData) -> float:
    """Return what a metric gave to the validation samples.

    Raises:
        DataError: there was nothing for it to score.
    """
    if metric.name not in scores:
        raise DataError(
            f"{data.task.name}: the validation samples hold nothing that the metric "
            f"'{metric.name}' can score. Use more samples, or check {data.source}."
        )
    return scores[metric.name]


def evaluate(
    model: nn.Module,
    samples: Samples,
    metrics: Sequence[Metric],
    session: Session,
    *,
    precision: Precision = "float32",
    pool: Pool | None = None,
) -> dict[str, float]:
    """Return the score of every metric over all `samples`.

    Each worker takes every world_size-th sample, or group of rows; statistics are reduced in
    float64, so the result does not depend on batches or the number of workers beyond the last
    digits of the forward pass. A metric over all predictions gets them in the order of the split.
    A metric that has nothing to score in these data is left out.

    Args:
        model: From inputs to predictions.
        samples: The split.
        metrics: What is scored.
        session: The workers.
        precision: Of the forward pass.
        pool: How the rows of a group are put together before they are scored; see `Task.pool`.

    Raises:
        StoppedError: the session asked to stop; nothing has changed.
    """
    model.eval()
    groups = samples.split.group_of_row if pool else np.arange(len(samples), dtype=np.int64)
    # Where each unit of scoring begins, and where the last one ends.
    bounds = np.append(np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1)), len(groups))
    mine = np.arange(len(bounds) - 1)[session.rank :: session.world_size]
    counted = len(mine) > 0
    if not counted:
        # A worker without samples looks at the first one, uncounted, to learn the shapes.
        mine = np.zeros(1, dtype=np.int64)
    # Metrics that differ only in how they finish share their statistics.
    totals = {metric.shared: _Total(metric) for metric in metrics}
    scored = _Scoring(model, samples, session.device, precision, divided=session.sharded)
    with torch.inference_mode():
        for kind, units, predictions, batch in scored.units(bounds, mine, pool):
            # Several workers have different numbers of batches, and must ask equally often.
            if session.world_size == 1 and session.asked() == "stop":
                raise StoppedError("Asked to stop while the model was scored.")
            for total in totals.values():
                # Where nothing is pooled, each row is a group of its own.
                if pool is None or total.metric.unit == kind:
                    total.add(units, predictions, batch, counted=counted)
        scored.keep_pace(session)
    counts = {"group": len(bounds) - 1, "row": len(groups)}
    reduced = {
        key: total.reduce(session, counts[total.metric.unit]) for key, total in totals.items()
    }
    scores = {metric.name: metric.finished(reduced[metric.shared]) for metric in metrics}
    return {name: score for name, score in scores.items() if score is not None}


@dataclass
class _Scoring:
    """Predictions of a model for the units that are scored: rows, or groups of them.

    Attributes:
        divided: Whether no worker has all of the model.
        passes: Forward passes until now.
    """

    model: nn.Module
    samples: Samples
    device: torch.device
    precision: Precision
    divided: bool
    passes: int = 0

    def keep_pace(self, session: Session) -> None:
        """Make as many passes as the other workers, where each of them needs all workers."""
        if self.divided:
            passes = torch.tensor([self.passes], device=self.device)
            first = self.samples.take(np.zeros(1, dtype=np.int64)).inputs
            for _ in range(int(session.max(passes)) - self.passes):
                self._predictions(first)

    def units(
        self, bounds: Indices, mine: Indices, pool: Pool | None
    ) -> Iterator[tuple[Unit, Indices, Tensor, Decoded]]:
        """Yield what is scored with predictions and targets: rows and, if pooled, their groups."""
        size = rows_at_once(self.samples)
        if pool is None:
            for start in range(0, len(mine), size):
                rows = mine[start : start + size]
                batch = self.samples.take(rows)
                yield "row", rows, self._predictions(batch.inputs), batch
            return
        rows = np.concatenate([np.arange(bounds[unit], bounds[unit + 1]) for unit in mine])
        ends = set((bounds[mine + 1] - 1).tolist())
        group, done = Group(), 0
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            batch = self.samples.take(part)
            predictions = self._predictions(batch.inputs)
            yield "row", part, predictions, batch
            for place, row in enumerate(part.tolist()):
                one = slice(place, place + 1)
                group.add(row, predictions[one], _row(batch, one))
                if row in ends:
                    yield "group", mine[done : done + 1], *group.pooled(pool, self.samples.split)
                    group, done = Group(), done + 1

    def _predictions(self, inputs: Tensor) -> Tensor:
        """Predict a batch; in halves where the memory is not enough for the whole."""
        self.passes += 1
        try:
            with forward_pass(self.device, self.precision):
                predictions: Tensor = self.model(inputs).float()
        except torch.OutOfMemoryError:
            if len(inputs) == 1 or self.divided:
                raise
            halves = inputs.split(-(-len(inputs) // 2))
            return torch.cat([self._predictions(half) for half in halves])
        return predictions


def _row(batch: Decoded, one: slice) -> Decoded:
    weights = None if batch.weights is None else batch.weights[one]
    # The inputs are not scored, and a view of them would keep the whole batch in memory.
    return Decoded(batch.inputs.new_empty(0), batch.targets[one], weights)


class _Total:
    """What a worker keeps of its units: statistics, reduced or each, or all predictions."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self._value: Tensor | None = None
        self._all: list[list[Tensor]] = []

    def add(self, units: Indices, predictions: Tensor, batch: Decoded, *, counted: bool) -> None:
        """Take in some units; uncounted ones only show the shapes."""
        metric = self.metric
        kept = None if counted else 0
        order = torch.from_numpy(units).to(predictions.device)
        if metric.reduction == "all":
            parts = [order, predictions, batch.targets]
            if metric.weighted and batch.weights is not None:
                parts.append(batch.weights)
            self._all.append([part[:kept] for part in parts])
            return
        statistics = metric.statistics(predictions, batch.targets, batch.weights).double()
        if metric.reduction == "each":
            self._all.append([order[:kept], statistics[:kept]])
            return
        if metric.reduction == "max":
            # Uncounted or not: a sample of the split cannot exceed the split's maximum.
            value, merge = statistics.amax(dim=0), torch.maximum
        else:
            value, merge = statistics[:kept].sum(dim=0), torch.add
        self._value = value if self._value is None else merge(self._value, value)

    def reduce(self, session: Session, count: int) -> Tensor:
        """Reduce over the `count` units of all workers."""
        metric = self.metric
        if self._all:
            units, *parts = (
                session.collect(torch.cat(kept)) for kept in zip(*self._all, strict=True)
            )
            order = units.argsort()
            parts = [part[order].cpu() for part in parts]
            return parts[0] if metric.reduction == "each" else metric.over_all(*parts)
        assert self._value is not None
        if metric.reduction == "max":
            return session.max(self._value).cpu()
        return (session.sum(self._value) / count).cpu()
