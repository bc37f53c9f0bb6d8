"""The gradient of one global batch: parts, workers and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from xmft.arrays import Indices
from xmft.evaluation import forward_pass
from xmft.recipe import Precision
from xmft.samples import Draw, Samples
from xmft.session import Session
from xmft.stages import Batch, Stage
from xmft.stored import to_device

# Of torch.compile.
_BACKEND = "inductor"


class StageObjective(nn.Module):
    """Binds a stage's objective to the model, so that a wrapper sees one forward pass."""

    def __init__(self, model: nn.Module, stage: Stage, *, compiled: bool = False) -> None:
        """Bind.

        Args:
            model: What the stage trains; left as it is.
            stage: The stage.
            compiled: Whether the model's forward pass is compiled. Its parts are not where the
                objective calls them one by one, as alignment and PaRe do. What cannot be
                compiled as a whole is an error, for falling back would hide it. The first size
                of a batch gets kernels of its own, all others share theirs.
        """
        super().__init__()
        if compiled:
            # What was compiled is counted by code object, so that the models of some earlier cells
            # of this process would use up the limit.
            torch.compiler.reset()
        # The wrapper has the model's attributes and parameters.
        self.model = torch.compile(model, fullgraph=True, backend=_BACKEND) if compiled else model
        self._stage = stage

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of a batch."""
        return self._stage.objective(self.model, batch)


class Gradient:
    """Accumulates the gradient of a global batch over this worker's parts of it."""

    def __init__(
        self,
        session: Session,
        samples: Samples,
        *,
        precision: Precision,
        micro_batch: int | None,
        seed: int = 0,
        base: Callable[[Indices], Tensor | None] | None = None,
    ) -> None:
        """Prepare.

        Args:
            session: The workers.
            samples: Training samples.
            precision: Of the forward pass.
            micro_batch: Most samples in one forward pass; None: the whole share of the worker.
                Stages whose loss belongs to the batch as a whole take it whole all the same.
            seed: What random windows and augmentation follow from, with stage, epoch and row.
            base: From rows of the training split to `Batch.base`.
        """
        self.session = session
        self.samples = samples
        self.precision = precision
        self.micro_batch = micro_batch
        self.seed = seed
        self.base = base

    def accumulate(
        self,
        stage: Stage,
        objective: nn.Module,
        indices: Indices,
        *,
        step: int,
        steps: int,
        epoch: int = 0,
    ) -> dict[str, Tensor]:
        """Add up the gradient of the global batch `indices`; return this worker's losses.

        `step` of `steps`, in `epoch`, is the place of the batch in the stage.

        Per-sample losses are weighted so that, after the average over workers, every sample of
        the global batch counts the same, also in a last batch that does not divide.
        """
        mine = indices[self.session.rank :: self.session.world_size]
        parts = [mine]
        if self.micro_batch is not None and not stage.whole_batch:
            # Workers who put the model together in each pass must have equally many; the last
            # ones of some are empty.
            most = len(mine)
            if self.session.sharded:
                most = -(-len(indices) // self.session.world_size)
            parts = [
                mine[i : i + self.micro_batch] for i in range(0, max(most, 1), self.micro_batch)
            ]
        total: dict[str, Tensor] = {}
        for number, part in enumerate(parts):
            # Data-parallel wrappers decide in the forward pass whether backward synchronises, and
            # every worker must do so equally often, however many parts it has.
            last = number + 1 == len(parts)
            with nullcontext() if last else self.session.no_sync(objective):
                rows = part if len(part) else indices[:1]
                batch = self._batch(stage, rows, step, steps, epoch)
                values = self._weighted(objective, batch, len(part), len(indices))
                values["loss"].backward()
            for key, value in values.items():
                share = value.detach().double() / self.session.world_size
                total[key] = total[key] + share if key in total else share
        return total

    def _weighted(
        self, objective: nn.Module, batch: Batch, counted: int, whole: int
    ) -> dict[str, Tensor]:
        """Return the losses of `batch` as scalars, per-sample ones weighted for the mean.

        Args:
            objective: The stage's objective.
            batch: A part of the global batch.
            counted: Its samples; 0 for an empty part (more workers than samples), which takes part
                with weight 0.
            whole: Samples in the global batch.
        """
        with forward_pass(self.session.device, self.precision):
            values = objective(batch)
        weight = self.session.world_size / whole if counted else 0.0
        return {key: value.sum() * weight if value.ndim else value for key, value in values.items()}

    def _batch(self, stage: Stage, indices: Indices, step: int, steps: int, epoch: int) -> Batch:
        fitting = stage.account == "fit"
        draw = Draw(seed=self.seed, stage=stage.name, epoch=epoch, fitting=fitting)
        inputs, targets, weights = self.samples.take(indices, draw)
        classes = None
        if stage.classes is not None:
            classes = to_device(stage.classes[indices], self.session.device)
        return Batch(
            inputs=inputs,
            targets=targets,
            weights=weights,
            base=None if self.base is None else self.base(indices),
            classes=classes,
            indices=indices,
            step=step,
            steps=steps,
            gather=self.session.gather,
        )
