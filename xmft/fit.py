"""The one training loop: every method, every task, one worker or many."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from xmft.errors import DivergedError, RequestError
from xmft.evaluation import Samples, evaluate
from xmft.metrics import metrics
from xmft.model import CrossModalModel
from xmft.records import Best, FitResult, History, Score
from xmft.schedule import warmup_then_linear
from xmft.seeding import seed_everything
from xmft.session import Progress, Session
from xmft.stages import Batch, Indices, Stage
from xmft.task import CurvePoint, Recipe, TaskData

# Steps between two progress reports inside an epoch.
_REPORT_EVERY = 10


class _Objective(nn.Module):
    """Binds a stage's objective to the model, so that a wrapper sees one forward pass."""

    def __init__(self, model: CrossModalModel, stage: Stage) -> None:
        super().__init__()
        self.model = model
        self._stage = stage

    def forward(self, batch: Batch) -> Mapping[str, Tensor]:
        return self._stage.objective(self.model, batch)


def fit(
    model: CrossModalModel,
    stages: Sequence[Stage],
    data: TaskData,
    recipe: Recipe,
    session: Session,
    *,
    seed: int,
    micro_batch: int | None = None,
) -> FitResult:
    """Train `model` through `stages` and score it.

    A run that is interrupted and started again with the same arguments goes on from the last
    state the session kept, and ends with the same numbers as if nothing had happened.

    Args:
        model: On the session's device.
        stages: The method's stages, in order.
        data: The task's splits; the test split is scored once, after the last stage.
        recipe: Optimizer settings.
        session: Workers, progress, checkpoints.
        seed: Seed of the cell.
        micro_batch: Most samples in one forward pass of a worker; gradients are accumulated.

    Raises:
        DivergedError: the loss is not finite.
    """
    return _Run(model, stages, data, recipe, session, seed, micro_batch).run()


class _Run:
    def __init__(
        self,
        model: CrossModalModel,
        stages: Sequence[Stage],
        data: TaskData,
        recipe: Recipe,
        session: Session,
        seed: int,
        micro_batch: int | None,
    ) -> None:
        self.model = model
        self.stages = stages
        self.data = data
        self.recipe = recipe
        self.session = session
        self.seed = seed
        self.micro_batch = micro_batch
        self.samples = {
            split: Samples(getattr(data, split), session.device)
            for split in ("train", "val", "test")
        }
        self.main = metrics[data.task.metrics[0]]
        self.history = History()
        self.best = Best()
        self.last_epoch = 0

    def run(self) -> FitResult:
        saved = self.session.restore()
        first_stage = 0
        if saved is not None:
            first_stage = saved["stage"]
            self.history = History(
                curves=[CurvePoint(**point) for point in saved["curves"]],
                measurements=saved["measurements"],
                seconds=saved["seconds"],
            )
            self.best = Best(**saved["best"])
            self.last_epoch = saved["last_epoch"]
            self.model.load_state_dict(saved["model"])
        resumed = self.last_epoch
        for index in range(first_stage, len(self.stages)):
            self._train_stage(index, saved if index == first_stage else None)
        return FitResult(
            scores=tuple(self._final_scores()),
            curves=tuple(self.history.curves),
            measurements=self.history.measurements,
            seconds=self.history.seconds,
            resumed_epochs=resumed,
        )

    def _train_stage(self, index: int, saved: dict[str, Any] | None) -> None:
        stage = self.stages[index]
        start = time.perf_counter()
        done = saved["epoch"] if saved else 0
        if done == 0:
            self._measure(stage, "before")
        for name, part in self.model.named_children():
            part.requires_grad_(name in stage.trains)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            trained,
            lr=stage.learning_rate,
            betas=self.recipe.betas,
            weight_decay=self.recipe.weight_decay,
        )
        steps = len(stage.batches(0))
        self._check_division(stage)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, warmup_then_linear(self.recipe.warmup, steps * stage.epochs)
        )
        if done:
            assert saved is not None
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
        # Wrapped after freezing: a data-parallel wrapper looks at requires_grad only once.
        objective = self.session.wrap(_Objective(self.model, stage))
        self.history.book(stage.name, start)
        for epoch in range(done, stage.epochs):
            self._train_epoch(stage, objective, trained, optimizer, schedule, epoch)
            self._validate(stage)
            finished = epoch + 1 == stage.epochs
            if finished:
                self._measure(stage, "after")
            position = (index + 1, 0) if finished else (index, epoch + 1)
            self._save(position, optimizer, schedule, force=finished)

    def _check_division(self, stage: Stage) -> None:
        batch, workers = len(stage.batches(0)[0]), self.session.world_size
        if stage.classes is not None and batch % workers:
            raise RequestError(
                f"A batch of {batch} samples in stage '{stage.name}' cannot be shared evenly by "
                f"{workers} workers. Choose alignment_batch as a multiple of {workers}."
            )

    def _train_epoch(
        self,
        stage: Stage,
        objective: nn.Module,
        trained: list[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        epoch: int,
    ) -> None:
        start = time.perf_counter()
        seed_everything("epoch", self.seed, stage.name, epoch)
        self.model.train()
        batches = stage.batches(epoch)
        total: dict[str, Tensor] = {}
        for step, indices in enumerate(batches):
            if step % _REPORT_EVERY == 0:
                self._report(stage, epoch * len(batches) + step, stage.epochs * len(batches), {})
            optimizer.zero_grad(set_to_none=True)
            for key, value in self._backward(stage, objective, indices).items():
                total[key] = total[key] + value if key in total else value
            if self.recipe.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(trained, self.recipe.clip_grad_norm)
            optimizer.step()
            schedule.step()
        self.last_epoch += 1
        means = {key: self.session.sum(value).item() / len(batches) for key, value in total.items()}
        if not all(math.isfinite(value) for value in means.values()):
            raise DivergedError(
                f"The loss is not finite in epoch {epoch + 1} of stage '{stage.name}'. "
                "Lower learning_rate or set clip_grad_norm."
            )
        for key, mean in means.items():
            self._point("train", f"{stage.name}/{key}", mean)
        self.history.book(stage.name, start)
        self._report(stage, (epoch + 1) * len(batches), stage.epochs * len(batches), means)

    def _backward(self, stage: Stage, objective: nn.Module, indices: Indices) -> dict[str, Tensor]:
        """Accumulate the gradient of the global batch `indices`; return this worker's losses.

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
            enabled=self.recipe.precision == "bfloat16",
        ):
            values = objective(batch)
        # An empty part (more workers than samples) still takes part, with weight 0.
        weight = self.session.world_size / len(whole) if len(part) else 0.0
        return {key: value.sum() * weight if value.ndim else value for key, value in values.items()}

    def _batch(self, stage: Stage, indices: Indices) -> Batch:
        inputs, targets = self.samples["train"].take(indices)
        classes = None
        if stage.classes is not None:
            classes = torch.from_numpy(stage.classes[indices]).to(self.session.device)
        return Batch(inputs=inputs, targets=targets, classes=classes, gather=self.session.gather)

    def _measure(self, stage: Stage, when: str) -> None:
        if stage.measure is None:
            return
        self.model.eval()
        for key, value in stage.measure(self.model).items():
            self.history.measurements[f"{stage.name}/{when}/{key}"] = value

    def _validate(self, stage: Stage) -> None:
        if not stage.validates:
            return
        start = time.perf_counter()
        values = self._evaluate("val")
        for name, value in values.items():
            self._point("val", name, value)
        self.best.offer(self.main, values[self.main.name], self.last_epoch, self.model)
        self.history.book("eval", start)

    def _evaluate(self, split: str) -> dict[str, float]:
        return evaluate(
            self.model,
            self.samples[split],
            [metrics[name] for name in self.data.task.metrics],
            self.session,
            precision=self.recipe.precision,
        )

    def _final_scores(self) -> list[Score]:
        start = time.perf_counter()
        scores = []
        last = self._score("last", self.last_epoch)
        scores += last
        if self.best.epoch not in (0, self.last_epoch):
            self.model.load_state_dict(self.best.state)
            scores += self._score("best_val", self.best.epoch)
        else:
            scores += [Score(**{**asdict(score), "selection": "best_val"}) for score in last]
        self.history.book("eval", start)
        return scores

    def _score(self, selection: str, epoch: int) -> list[Score]:
        return [
            Score(split=split, selection=selection, metric=name, value=value, epoch=epoch)
            for split in ("val", "test")
            for name, value in self._evaluate(split).items()
        ]

    def _save(
        self,
        position: tuple[int, int],
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        force: bool,
    ) -> None:
        self.session.save(
            lambda: {
                "stage": position[0],
                "epoch": position[1],
                "last_epoch": self.last_epoch,
                "model": self.model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "best": vars(self.best),
                "curves": [asdict(point) for point in self.history.curves],
                "measurements": self.history.measurements,
                "seconds": self.history.seconds,
            },
            force=force,
        )

    def _point(self, split: str, name: str, value: float) -> None:
        self.history.curves.append(
            CurvePoint(epoch=self.last_epoch, split=split, name=name, value=value)
        )

    def _report(self, stage: Stage, step: int, steps: int, losses: dict[str, float]) -> None:
        self.session.report(Progress(stage=stage.name, step=step, steps=steps, losses=losses))
