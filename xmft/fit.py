"""The one training loop: every method, every task, one worker or many."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from xmft.checkpoint import Checkpoint, Place, opened, state_of
from xmft.curves import CurvePoint
from xmft.errors import StoppedError
from xmft.evaluation import scored_by
from xmft.examples import Examples
from xmft.flops import Counts, Meter
from xmft.gradients import Gradient
from xmft.metrics import METRICS
from xmft.model import StandardisedModel
from xmft.optimizers import freeze_all_but, set_modes
from xmft.recipe import Recipe
from xmft.records import Best, FitResult, History, Score, check_finite_values, measured_by
from xmft.samples import samples_of
from xmft.scoring import Scorer
from xmft.seeding import seed_everything
from xmft.session import Progress, Session
from xmft.stages import Stage
from xmft.steps import Training
from xmft.task import TaskData

# Steps between two progress reports inside an epoch.
_REPORT_EVERY = 10
# Metrics of a training curve; the final scores have all.
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
    until: int | None = None,
) -> FitResult:
    """Train `model` through `stages` and score it.

    A run that is interrupted and started again goes on from the last state the session kept, and
    ends with the same numbers as if nothing had happened.

    Args:
        model: On the session's device, in physical units on both ends. Its direct children are
            the parts that stages name in `trains`.
        stages: The method's stages, in order; without any, the model is scored as it is.
        data: The task's splits; the test split is scored once, after the last stage.
        recipe: Optimizer settings.
        session: Workers, progress, checkpoints.
        seed: Of the cell.
        micro_batch: Most samples in one forward pass of a worker; gradients are accumulated.
        until: Of a trial, scored on `val` alone: the validated epochs after which it pauses.

    Raises:
        DivergedError: a loss or a score is not finite.
        RequestError: an alignment batch cannot be shared evenly by the workers.
        StoppedError: the session asked to stop, and has kept where the run is.
    """
    return _Run(model, stages, data, recipe, session, seed, micro_batch, until).run()


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
        until: int | None,
    ) -> None:
        self.model = model
        self.stages = stages
        self.data = data
        self.recipe = recipe
        self.session = session
        self.seed = seed
        self.until = until
        self.samples = samples_of(data, session.device)
        self.history = History(counts=Counts())
        self.meter = Meter(session, lambda: self.history.counts, compiled=recipe.compile)
        self.scorer = Scorer(model, self.samples, data, recipe, session, self.meter)
        self.gradient = Gradient(
            session,
            self.samples["train"],
            precision=recipe.precision,
            micro_batch=micro_batch,
            seed=seed,
            base=model.training_base if isinstance(model, StandardisedModel) else None,
        )
        self.main = METRICS[data.task.metrics[0]]
        self.best = Best()
        self.last_epoch = 0
        self.examples: Examples | None = None

    def run(self) -> FitResult:
        if all(stage.divisible for stage in self.stages) and not self.recipe.compile:
            self.session.shard(self.model)
        saved = self._restored()
        place = saved.place if saved else Place()
        resumed, earlier = self.last_epoch, sum(self.history.seconds.values())
        for stage in self.stages[place.stage :]:
            stage.check_division(self.session.world_size)
        for index in range(place.stage, len(self.stages)):
            self._train_stage(index, saved if index == place.stage else None)
            if self._last(self.stages[index]) < self.stages[index].epochs:
                break
        scores = self._final_scores()
        return FitResult(
            scores=tuple(scores),
            curves=tuple(self.history.curves),
            measurements=self.history.measurements | measured_by(self.model),
            seconds=self.history.seconds,
            own_seconds=sum(self.history.seconds.values()) - earlier,
            flops=self.meter.accounts(),
            resumed_epochs=resumed,
            fitted=self.history.fitted(self.stages),
            examples=self.examples,
        )

    def _restored(self) -> Checkpoint | None:
        """Go back to what the session kept; None if that is nothing, or nothing of use."""
        state = self.session.restore()
        if state is None:
            return None
        saved, why = opened(state, self.model, self.stages, self.recipe)
        reasons = [reason for reason in self.session.each(why) if reason]
        if saved is None or reasons:
            self.session.set_aside(reasons[0])
            return None
        divided, own = self.session.divided, self.model.state_dict()
        self.model.load_state_dict({k: divided(v, own[k]) for k, v in saved.model.items()})
        kept = {k: divided(v, own[k]) for k, v in saved.best.state.items()}
        self.best = replace(saved.best, state=kept)
        self.history, self.last_epoch = saved.history, saved.last_epoch
        if saved.place.stage == len(self.stages) and self.stages:
            freeze_all_but(self.model, self.stages[-1].trains)
        return saved

    def _train_stage(self, index: int, saved: Checkpoint | None) -> None:
        stage = self.stages[index]
        place = saved.place if saved else Place(stage=index)
        begun = place.epoch > 0 or place.step > 0
        # Before measuring: gradients in features need nothing kept for those of frozen weights.
        trained = freeze_all_but(self.model, stage.trains)
        if not begun:
            self._measure(stage, "before")
        start = time.perf_counter()
        training = Training(self.model, stage, trained, self.recipe, self.session)
        if begun and saved is not None:
            training.restore(saved)
        self.history.book(stage.account, start)
        first = place.epoch
        for epoch in range(first, last := self._last(stage)):
            self._train_epoch(training, index, epoch, saved if epoch == first else None)
            finished = epoch + 1 == stage.epochs
            if finished:
                training.finish()
                self._measure(stage, "after")
            place = Place(stage=index + finished, epoch=0 if finished else epoch + 1)
            self._save(training, place, {}, force=epoch + 1 == last)
        training.finish()  # of a trial that pauses, behind what it goes on from

    def _last(self, stage: Stage) -> int:
        """Return how many epochs of a stage are trained in this run."""
        return min(stage.epochs, self.until or stage.epochs) if stage.validates else stage.epochs

    def _train_epoch(
        self, training: Training, index: int, epoch: int, saved: Checkpoint | None
    ) -> None:
        stage = training.stage
        start = time.perf_counter()
        seed_everything("epoch", self.seed, stage.name, epoch)
        set_modes(self.model, stage.trains)
        batches = stage.batches(epoch)
        done, steps = epoch * len(batches), stage.epochs * len(batches)
        total: dict[str, Tensor] = {}
        first = saved.place.step if saved else 0
        if saved and first:
            saved.restore_generators(self.session)
            total = saved.totals_of(self.session)
        for step in range(first, len(batches)):
            if step % _REPORT_EVERY == 0:
                self._report(stage, done + step, steps, {})
            place = Place(stage=index, epoch=epoch, step=step)
            if request := self.session.asked():
                start = self.history.book(stage.account, start)
                self._save(training, place, total, force=True)
                if request == "stop":
                    raise place.stopped()
            training.optimizer.zero_grad(set_to_none=True)
            with self.meter.step(stage, epoch, len(batches[step])):
                losses = self.gradient.accumulate(
                    stage,
                    training.objective,
                    batches[step],
                    step=done + step,
                    steps=steps,
                    epoch=epoch,
                )
            for key, value in losses.items():
                total[key] = total[key] + value if key in total else value
            training.step()
        points = len(self.history.curves)
        self.last_epoch += 1
        means = {key: self.session.sum(value).item() / len(batches) for key, value in total.items()}
        check_finite_values(means, f"losses in epoch {epoch + 1} of stage '{stage.name}'")
        for key, mean in means.items():
            self._point("train", f"{stage.name}/{key}", mean)
        self.history.book(stage.account, start)
        self._report(stage, done + len(batches), steps, means)
        try:
            with training.scored():
                self._validate(stage)
        except StoppedError:
            # As if the epoch had not been closed yet: its steps are not taken again.
            self.last_epoch -= 1
            del self.history.curves[points:]
            place = Place(stage=index, epoch=epoch, step=len(batches))
            self._save(training, place, total, force=True)
            raise place.stopped() from None

    def _measure(self, stage: Stage, when: str) -> None:
        if stage.measure is None:
            return
        start = time.perf_counter()
        self.model.eval()
        with self.meter.whole("measure"):
            measured = stage.measure(self.model)
        for key, value in measured.items():
            self.history.measurements[f"{stage.name}/{when}/{key}"] = value
        self.history.book("measure", start)

    def _validate(self, stage: Stage) -> None:
        if not stage.validates:
            return
        start = time.perf_counter()
        names = self.data.task.metrics[:_CURVE_METRICS]
        values = self.scorer.evaluate("val", names, self.last_epoch)
        for name, value in values.items():
            self._point("val", name, value)
        value = scored_by(values, self.main, self.data)
        self.best.offer(self.main, value, self.last_epoch, self.model)
        self.history.book("eval", start)

    def _final_scores(self) -> list[Score]:
        start = time.perf_counter()
        splits = ("val", "test") if self.until is None else ("val",)
        last = self.scorer.score("last", self.last_epoch, splits)
        if self.until is None and (self.session.rank == 0 or self.session.sharded):
            # By one worker alone, which has the whole model: nothing in it waits for the others.
            self.examples = self.scorer.examples()
        best = self.scorer.score_best(self.best, last, self.last_epoch, splits)
        alone = self.scorer.score_base(splits)
        self.history.book("eval", start)
        return last + best + alone

    def _save(
        self, training: Training, place: Place, totals: Mapping[str, Tensor], *, force: bool
    ) -> None:
        """Let the session keep where the run is; `totals` are those of an unfinished epoch."""
        self.session.save(
            lambda: state_of(
                place=place,
                last_epoch=self.last_epoch,
                training=training,
                best=self.best,
                history=self.history,
                totals=totals,
            ),
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
