"""Scores of the model that a run trains, and a few of its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from xmft.evaluation import evaluate, forward_pass
from xmft.examples import MOST_EXAMPLES, Examples, Fields, examples_of
from xmft.flops import Meter
from xmft.metrics import METRICS
from xmft.model import StandardisedModel
from xmft.recipe import Recipe
from xmft.records import BASE, Best, Score, check_finite_values
from xmft.samples import Samples
from xmft.session import Session
from xmft.split import Split
from xmft.task import TaskData


class Scorer:
    """Scores a model on the splits of a task as it is trained."""

    def __init__(
        self,
        model: nn.Module,
        samples: Mapping[str, Samples],
        data: TaskData,
        recipe: Recipe,
        session: Session,
        meter: Meter | None = None,
    ) -> None:
        """Prepare.

        Args:
            model: In physical units on both ends.
            samples: Of each split.
            data: Says which metrics.
            recipe: Says how precise.
            session: The workers.
            meter: Counts the operations of what is scored; None: nobody does.
        """
        self._model = model
        self._samples = samples
        self._data = data
        self._recipe = recipe
        self._session = session
        self._meter = meter

    def evaluate(self, split: str, names: Sequence[str], epoch: int) -> dict[str, float]:
        """Return the named metrics of a split, for parameters as they are after `epoch`.

        Raises:
            DivergedError: one is not finite.
            StoppedError: the session asked to stop.
        """
        meter = self._meter
        with nullcontext(self._model) if meter is None else meter.scoring(self._model) as model:
            values = evaluate(
                model,
                self._samples[split],
                [METRICS[name] for name in names],
                self._session,
                precision=self._recipe.precision,
                pool=self._data.task.pool,
            )
        check_finite_values(values, f"scores on {split} after epoch {epoch}")
        return values

    def score(self, selection: str, epoch: int, splits: Sequence[str]) -> list[Score]:
        """Return all metrics of the task on some splits; raises as `evaluate` does."""
        return [
            Score(split=split, selection=selection, metric=name, value=value, epoch=epoch)
            for split in splits
            for name, value in self.evaluate(split, self._data.task.metrics, epoch).items()
        ]

    def score_best(
        self, best: Best, last: Sequence[Score], epoch: int, splits: Sequence[str]
    ) -> list[Score]:
        """Return all metrics for the parameters that validation chose, which the model then has.

        Args:
            best: Those parameters.
            last: Scores of the model as it is, which stand where it is the best already.
            epoch: The last one.
            splits: What is scored; raises as `evaluate` does.
        """
        if best.epoch in (0, epoch):
            return [replace(score, selection="best_val") for score in last]
        self._model.load_state_dict(best.state)
        return self.score("best_val", best.epoch, splits)

    def score_base(self, splits: Sequence[str]) -> list[Score]:
        """Return all metrics of the closed form that the model stands on, without the network.

        Nothing where it stands on none; raises as `evaluate` does.
        """
        model = self._model
        if not isinstance(model, StandardisedModel) or model.closed_form is None:
            return []
        # As the method of that name is scored, which knows no other precision.
        recipe = self._recipe.model_copy(update={"precision": "float32"})
        alone = Scorer(model.closed_form.model, self._samples, self._data, recipe, self._session)
        return alone.score(BASE, 0, splits)

    def examples(self) -> Examples | None:
        """Return what the model makes of the first samples of the test split; of fields alone."""
        if self._data.task.kind != "dense":
            return None
        samples = self._samples["test"]
        first = samples.take(np.arange(min(MOST_EXAMPLES, len(samples))))
        inputs, targets = (part.cpu().numpy() for part in (first.inputs, first.targets))
        return examples_of(Split(inputs=inputs, targets=targets), self._predict)

    def _predict(self, inputs: Fields) -> Fields:
        device = self._session.device
        self._model.eval()
        with torch.inference_mode(), forward_pass(device, self._recipe.precision):
            output: Tensor = self._model(torch.from_numpy(inputs).to(device))
        return output.float().cpu().numpy()
