"""The weights averaged over the steps, by which a run is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from xmft.recipe import Recipe
from xmft.session import Session
from xmft.stages import Stage


def averages(stage: Stage, recipe: Recipe) -> bool:
    """Tell whether the weights of a stage are averaged: those of target fitting, if any are."""
    return stage.account == "fit" and recipe.average > 0


class Averaged:
    """An exponential moving average of the parameters that learn.

    It begins as the parameters after the first step, and after each later one is

        average <- decay * average + (1 - decay) * parameters

    as `torch.optim.swa_utils.AveragedModel` has it. That class copies the model, which cannot be
    done of one whose parameters are divided among workers; here they stay where they are.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Take the names of the parameters that learn; `decay` is per step, above 0."""
        self._learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._merge = get_ema_multi_avg_fn(decay)
        self._average: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters behind a step."""
        if not self._average:
            self._average = {n: p.detach().clone() for n, p in self._learning.items()}
            return
        self._merge(list(self._average.values()), list(self._learning.values()), 0)

    @torch.no_grad()
    def adopt(self) -> None:
        """Give the model the average in place of its own parameters."""
        for name, value in self._average.items():
            self._learning[name].copy_(value)

    def finish(self) -> None:
        """Give the model the average for good."""
        self.adopt()
        self._average = {}

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the average in the model inside, and its own parameters again behind."""
        own = {n: self._learning[n].detach().clone() for n in self._average}
        self.adopt()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in own.items():
                    self._learning[name].copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the average by the names of the parameters; empty before the first step."""
        return self._average

    def load_state_dict(self, state: Mapping[str, Tensor], session: Session) -> None:
        """Go on with a whole state, of which this worker takes its part."""
        own = self._learning
        self._average = {n: session.divided(v.to(own[n].device), own[n]) for n, v in state.items()}
