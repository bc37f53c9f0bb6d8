"""The gradient of one global batch: parts, workers and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from xmft.arrays import Indices
from xmft.evaluation import forward_pass
from xmft.objectives import BatchObjective, Features
from xmft.recipe import Precision
from xmft.samples import Draw, Samples
from xmft.seeding import GeneratorStates
from xmft.session import Session
from xmft.stages import Batch, Stage
from xmft.stored import to_device

# Of torch.compile.
_BACKEND = "inductor"


class BatchMemoryError(torch.OutOfMemoryError):
    """A device's memory ran out in a step.

    Attributes:
        samples: How many were in the model at once; 1 where they cannot be fewer.
    """

    def __init__(self, message: str, samples: int) -> None:
        """Say how it came."""
        super().__init__(message, samples)
        self.samples = samples

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0])


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

    def forward(self, batch: Batch, passed: Features | None = None) -> Mapping[str, Tensor]:
        """Return the losses of a batch.

        Args:
            batch: The batch, or a part of one.
            passed: Of a part, the gradient of the loss with respect to its features. What is
                returned then has, with respect to the parameters, the gradient of that loss.
        """
        if passed is None:
            return self._stage.objective(self.model, batch)
        features = self.represent(batch)
        return {"loss": torch.stack([(features[k] * g).sum() for k, g in passed.items()]).sum()}

    @property
    def halves(self) -> BatchObjective | None:
        """The objective, if a batch that it sees as a whole can be taken in parts."""
        objective = self._stage.objective
        return objective if isinstance(objective, BatchObjective) else None

    def represent(self, batch: Batch) -> Features:
        """Return the features of a part of a batch."""
        assert self.halves is not None  # or nobody would ask
        return self.halves.represent(self.model, batch)

    def loss(self, features: Features, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of a batch with these features."""
        assert self.halves is not None
        return self.halves.loss(self.model, features, batch)


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
                Where the loss belongs to the batch as a whole, parts are passed twice, with the
                same random draws both times, and the gradient is that of the whole.
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
        plain = getattr(objective, "module", objective)  # a data-parallel wrapper has it
        assert isinstance(plain, StageObjective)
        at_once = min(self.micro_batch or len(mine), max(len(mine), 1))
        whole = stage.whole_batch and plain.halves is None
        try:
            if plain.halves is not None and at_once < len(mine):
                batch = self._batch(stage, mine, step, steps, epoch)
                return self._in_halves(objective, plain, batch, at_once)
            return self._part_by_part(stage, objective, indices, mine, step, steps, epoch)
        except torch.OutOfMemoryError as error:
            raise BatchMemoryError(
                f"Memory ran out with {len(mine) if whole else at_once} samples of stage "
                f"'{stage.name}' in the model at once: {error}",
                1 if whole else at_once,
            ) from error

    def _part_by_part(
        self,
        stage: Stage,
        objective: nn.Module,
        indices: Indices,
        mine: Indices,
        step: int,
        steps: int,
        epoch: int,
    ) -> dict[str, Tensor]:
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
            for key, value in self._shares(values).items():
                total[key] = total[key] + value if key in total else value
        return total

    def _in_halves(
        self, objective: nn.Module, plain: StageObjective, batch: Batch, size: int
    ) -> dict[str, Tensor]:
        """Add up the gradient of a loss of the whole batch over parts of `size` samples."""
        assert plain.halves is not None
        parts, sums = batch.parts(size), plain.halves.sums
        draws, pieces = [], []
        with torch.no_grad():
            for part in parts:
                draws.append(GeneratorStates(self.session.device))
                with self._forward():
                    pieces.append(plain.represent(part))
        features = {
            key: (
                torch.stack([piece[key] for piece in pieces]).sum(dim=0)
                if key in sums
                else torch.cat([piece[key] for piece in pieces])
            ).requires_grad_()
            for key in pieces[0]
        }
        del pieces
        with self._forward():
            values = plain.loss(features, batch)
        # Workers exchange what the loss of each says about the features of the others here.
        values["loss"].backward()
        passed = {key: f.grad for key, f in features.items() if f.grad is not None}
        for number, part in enumerate(parts):
            rows = slice(number * size, (number + 1) * size)
            own = {key: g if key in sums else g[rows] for key, g in passed.items()}
            last = number + 1 == len(parts)
            with nullcontext() if last else self.session.no_sync(objective):
                with draws[number].again(), self._forward():
                    again = objective(part, own)["loss"]
                again.backward()
        return self._shares(values)

    def _forward(self) -> AbstractContextManager[None]:
        return forward_pass(self.session.device, self.precision)

    def _shares(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what this worker's scalars add to those of all workers."""
        return {
            key: value.detach().double() / self.session.world_size for key, value in values.items()
        }

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
        with self._forward():
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
