"""Optimizer steps of one stage, and going on with those of an earlier run."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from xmft.averaging import Averaged, averages
from xmft.gradients import StageObjective
from xmft.optimizers import SCHEDULES, make_optimizer
from xmft.parameter_groups import parameter_groups
from xmft.recipe import Recipe
from xmft.session import Session
from xmft.stages import Stage

if TYPE_CHECKING:
    from xmft.checkpoint import Checkpoint


class Training:
    """A stage that is under way.

    Attributes:
        model: What is trained.
        stage: How.
        session: The workers.
        objective: The stage's losses of the model, wrapped for the workers.
        optimizer: Of the parameters that learn.
        schedule: Of its rate.
        average: Of the parameters over the steps, where the recipe wants one.
    """

    def __init__(
        self,
        model: nn.Module,
        stage: Stage,
        trained: list[nn.Parameter],
        recipe: Recipe,
        session: Session,
    ) -> None:
        """Prepare the first step; `trained` are the parameters that learn, all others frozen."""
        self.model = model
        self.stage = stage
        self.session = session
        self._trained = trained
        self._clip = recipe.clip_grad_norm if stage.clip else None
        self.average = Averaged(model, recipe.average) if averages(stage, recipe) else None
        groups = parameter_groups(model, stage, recipe)
        self.optimizer = make_optimizer(groups, recipe, stage.learning_rate)
        steps = len(stage.batches(0)) * stage.epochs
        usual = SCHEDULES[recipe.schedule if stage.account == "fit" else "linear"]
        factor = (stage.schedule or partial(usual, recipe.warmup))(steps)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        # Wrapped after freezing: a data-parallel wrapper looks at requires_grad only once.
        self.objective = session.wrap(StageObjective(model, stage, compiled=recipe.compile))

    def restore(self, saved: Checkpoint) -> None:
        """Go on with the optimizer and the schedule of a checkpoint of this stage."""
        # Numbered group by group, which is another order than the model's where there are several.
        numbered = [p for group in self.optimizer.param_groups for p in group["params"]]
        states = {
            number: {
                key: self.session.divided(value, numbered[number])
                if isinstance(value, torch.Tensor) and value.ndim
                else value
                for key, value in state.items()
            }
            for number, state in saved.optimizer["state"].items()
        }
        self.optimizer.load_state_dict({**saved.optimizer, "state": states})
        self.schedule.load_state_dict(saved.schedule)
        if self.average is not None:
            self.average.load_state_dict(saved.average, self.session)

    def step(self) -> None:
        """Change the parameters along their gradients."""
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._trained, self._clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update()

    def scored(self) -> AbstractContextManager[None]:
        """Return the context in which the model has the parameters that are to be scored."""
        return nullcontext() if self.average is None else self.average.in_place()

    def finish(self) -> None:
        """Leave those parameters in the model; no step is taken behind."""
        if self.average is not None:
            self.average.finish()
