"""The one training loop: every method, every task, one worker or many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xmft.curves import CurvePoint
from xmft.evaluation import evaluate, forward_pass, scored_by
from xmft.examples import MOST_EXAMPLES, Examples, Fields, examples_of
from xmft.gradients import Gradient, StageObjective
from xmft.metrics import METRICS
from xmft.optimizers import freeze_all_but, make_optimizer, set_modes, warmup_then_linear
from xmft.recipe import Recipe
from xmft.records import Best, FitResult, History, Score, check_finite_values
from xmft.samples import samples_of
from xmft.seeding import seed_everything
from xmft.session import Progress, Session
from xmft.split import Split
from xmft.stages import Stage
from xmft.task import TaskData

# Steps between two progress reports inside an epoch.
_REPORT_EVERY = 10
# Metrics of a training curve; the final scores have all that the task has.
_CURVE_METRICS = 3


def fit(
    model: nn.Module,
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
        model: On the session's device, in physical units on both ends. Its direct children are
            the parts that stages name in `trains`.
        stages: The method's stages, in order; without any, the model is scored as it is.
        data: The task's splits; the test split is scored once, after the last stage.
        recipe: Optimizer settings.
        session: Workers, progress, checkpoints.
        seed: Seed of the cell.
        micro_batch: Most samples in one forward pass of a worker; gradients are accumulated.

    Raises:
        DivergedError: a loss or a score is not finite.
        RequestError: an alignment batch cannot be shared evenly by the workers.
    """
    return _Run(model, stages, data, recipe, session, seed, micro_batch).run()


class _Run:
    def __init__(
        self,
        model: nn.Module,
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
        self.samples = samples_of(data, session.device)
        self.gradient = Gradient(
            session,
            self.samples["train"],
            precision=recipe.precision,
            micro_batch=micro_batch,
            seed=seed,
        )
        self.main = METRICS[data.task.metrics[0]]
        self.history = History()
        self.best = Best()
        self.last_epoch = 0
        self.examples: Examples | None = None

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
        resumed, earlier = self.last_epoch, sum(self.history.seconds.values())
        for stage in self.stages[first_stage:]:
            stage.check_division(self.session.world_size)
        for index in range(first_stage, len(self.stages)):
            self._train_stage(index, saved if index == first_stage else None)
        scores = self._final_scores()
        return FitResult(
            scores=tuple(scores),
            curves=tuple(self.history.curves),
            measurements=self.history.measurements,
            seconds=self.history.seconds,
            own_seconds=sum(self.history.seconds.values()) - earlier,
            resumed_epochs=resumed,
            fitted=self._fitted(),
            examples=self.examples,
        )

    def _train_stage(self, index: int, saved: dict[str, Any] | None) -> None:
        stage = self.stages[index]
        done = saved["epoch"] if saved else 0
        # Before measuring: gradients in features need nothing kept for those of frozen weights.
        trained = freeze_all_but(self.model, stage.trains)
        if done == 0:
            self._measure(stage, "before")
        start = time.perf_counter()
        optimizer = make_optimizer(trained, self.recipe, stage.learning_rate)
        batches = stage.batches(0)
        steps = len(batches) * stage.epochs
        factor = (stage.schedule or partial(warmup_then_linear, self.recipe.warmup))(steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        if done:
            assert saved is not None
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
        # Wrapped after freezing: a data-parallel wrapper looks at requires_grad only once.
        objective = self.session.wrap(
            StageObjective(self.model, stage, compiled=self.recipe.compile)
        )
        self.history.book(stage.account, start)
        for epoch in range(done, stage.epochs):
            self._train_epoch(stage, objective, trained, optimizer, schedule, epoch)
            self._validate(stage)
            finished = epoch + 1 == stage.epochs
            if finished:
                self._measure(stage, "after")
            position = (index + 1, 0) if finished else (index, epoch + 1)
            self._save(position, optimizer, schedule, force=finished)

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
        set_modes(self.model, stage.trains)
        batches = stage.batches(epoch)
        done, steps = epoch * len(batches), stage.epochs * len(batches)
        total: dict[str, Tensor] = {}
        for step, indices in enumerate(batches, start=done):
            if (step - done) % _REPORT_EVERY == 0:
                self._report(stage, step, steps, {})
            optimizer.zero_grad(set_to_none=True)
            losses = self.gradient.accumulate(
                stage, objective, indices, step=step, steps=steps, epoch=epoch
            )
            for key, value in losses.items():
                total[key] = total[key] + value if key in total else value
            if self.recipe.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(trained, self.recipe.clip_grad_norm)
            optimizer.step()
            schedule.step()
        self.last_epoch += 1
        means = {key: self.session.sum(value).item() / len(batches) for key, value in total.items()}
        check_finite_values(means, f"losses in epoch {epoch + 1} of stage '{stage.name}'")
        for key, mean in means.items():
            self._point("train", f"{stage.name}/{key}", mean)
        self.history.book(stage.account, start)
        self._report(stage, done + len(batches), steps, means)

    def _measure(self, stage: Stage, when: str) -> None:
        if stage.measure is None:
            return
        start = time.perf_counter()
        self.model.eval()
        for key, value in stage.measure(self.model).items():
            self.history.measurements[f"{stage.name}/{when}/{key}"] = value
        self.history.book(stage.account, start)

    def _validate(self, stage: Stage) -> None:
        if not stage.validates:
            return
        start = time.perf_counter()
        values = self._evaluate("val", self.data.task.metrics[:_CURVE_METRICS])
        for name, value in values.items():
            self._point("val", name, value)
        value = scored_by(values, self.main, self.data)
        self.best.offer(self.main, value, self.last_epoch, self.model)
        self.history.book("eval", start)

    def _evaluate(self, split: str, names: Sequence[str]) -> dict[str, float]:
        values = evaluate(
            self.model,
            self.samples[split],
            [METRICS[name] for name in names],
            self.session,
            precision=self.recipe.precision,
            pool=self.data.task.pool,
        )
        check_finite_values(values, f"scores on {split} after epoch {self.last_epoch}")
        return values

    def _final_scores(self) -> list[Score]:
        start = time.perf_counter()
        last = self._score("last", self.last_epoch)
        if self.data.task.kind == "dense" and self.session.rank == 0:
            # By one worker alone: nothing in it waits for the others.
            self.examples = self._examples()
        if self.best.epoch not in (0, self.last_epoch):
            self.model.load_state_dict(self.best.state)
            best = self._score("best_val", self.best.epoch)
        else:
            best = [replace(score, selection="best_val") for score in last]
        self.history.book("eval", start)
        return last + best

    def _score(self, selection: str, epoch: int) -> list[Score]:
        return [
            Score(split=split, selection=selection, metric=name, value=value, epoch=epoch)
            for split in ("val", "test")
            for name, value in self._evaluate(split, self.data.task.metrics).items()
        ]

    def _fitted(self) -> CurvePoint | None:
        names = {f"{stage.name}/loss" for stage in self.stages if stage.account == "fit"}
        losses = [p for p in self.history.curves if p.split == "train" and p.name in names]
        return losses[-1] if losses else None

    def _examples(self) -> Examples:
        samples = self.samples["test"]
        first = samples.take(np.arange(min(MOST_EXAMPLES, len(samples))))
        inputs, targets = (part.cpu().numpy() for part in (first.inputs, first.targets))
        return examples_of(Split(inputs=inputs, targets=targets), self._predict)

    def _predict(self, inputs: Fields) -> Fields:
        device = self.session.device
        self.model.eval()
        with torch.inference_mode(), forward_pass(device, self.recipe.precision):
            output: Tensor = self.model(torch.from_numpy(inputs).to(device))
        return output.float().cpu().numpy()

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
        self.session.report(
            Progress(stage=stage.name, step=step, steps=steps, losses=losses, account=stage.account)
        )
