"""The gradient of one global batch: parts, workers and precision."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from xmft.evaluation import Samples
from xmft.session import Session
from xmft.stages import Batch, Indices, Stage


class StageObjective(nn.Module):
    """Binds a stage's objective to the model, so that a wrapper sees one forward pass."""

    def __init__(self, model: nn.Module, stage: Stage) -> None:
        super().__init__()
        self.model = model
        self._stage = stage

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of a batch."""
        return self._stage.objective(self.model, batch)


class Gradient:
    """Accumulates the gradient of a global batch over this worker's parts of it."""

    def __init__(
        self, session: Session, samples: Samples, *, precision: str, micro_batch: int | None
    ) -> None:
        """Prepare.

        Args:
            session: The workers.
            samples: Training samples.
            precision: `float32` or `bfloat16` (autocast of the forward pass).
            micro_batch: Most samples in one forward pass; None: the whole share of the worker.
                Stages whose loss belongs to the batch as a whole take it whole all the same.
        """
        self.session = session
        self.samples = samples
        self.precision = precision
        self.micro_batch = micro_batch

    def accumulate(self, stage: Stage, objective: nn.Module, indices: Indices) -> dict[str, Tensor]:
        """Add up the gradient of the global batch `indices`; return this worker's losses.

        Per-sample losses are weighted so that, after the average over workers, every sample of
        the global batch counts the same, also in a last batch that does not divide.
        """
        mine = indices[self.session.rank :: self.session.world_size]
        parts = [mine]
        if self.micro_batch is not None and stage.classes is None:
            parts = [
                mine[i : i + self.micro_batch]
                for i in range(0, max(len(mine), 1), self.micro_batch)
            ]
        total: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            # Data-parallel wrappers decide in the forward pass whether backward synchronises, and
            # every worker must do so equally often, however many parts it has.
            last = number + 1 == len(parts)
            with nullcontext() if last else self.session.no_sync(objective):
                values = self._weighted(objective, stage, part, indices)
                values["loss"].backward()
            for key, value in values.items():
                share = value.detach().double() / self.session.world_size
                total[key] = total[key] + share if key in total else share
        return total

    def _weighted(
        self, objective: nn.Module, stage: Stage, part: Indices, whole: Indices
    ) -> dict[str, Tensor]:
        """Return the losses of `part` as scalars, per-sample ones weighted for the mean."""
        batch = self._batch(stage, part if len(part) else whole[:1])
        with torch.autocast(
            self.session.device.type,
            dtype=torch.bfloat16,
            enabled=self.precision == "bfloat16",
        ):
            values = objective(batch)
        # An empty part (more workers than samples) still takes part, with weight 0.
        weight = self.session.world_size / len(whole) if len(part) else 0.0
        return {key: value.sum() * weight if value.ndim else value for key, value in values.items()}

    def _batch(self, stage: Stage, indices: Indices) -> Batch:
        inputs, targets = self.samples.take(indices)
        classes = None
        if stage.classes is not None:
            classes = torch.from_numpy(stage.classes[indices]).to(self.session.device)
        return Batch(inputs=inputs, targets=targets, classes=classes, gather=self.session.gather)
