"""What all that is fitted at once shares: rows, a look at the memory, scores of validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xmft.closed_forms.scaled import Scaled
from xmft.errors import RequestError
from xmft.evaluation import evaluate, scored_by
from xmft.metrics import METRICS
from xmft.samples import Samples, train_samples
from xmft.session import Session
from xmft.task import TaskData

# Bytes that a fit may hold.
_MOST_BYTES = 16 * 2**30


Finish = Callable[[Tensor, Tensor], Tensor]
"""From guesses and the inputs that they are for to predictions as a model gives them."""


class _Replay(nn.Module):
    """Guesses that were made before, handed out in the order of the split."""

    def __init__(self, guesses: Tensor, finish: Finish) -> None:
        super().__init__()
        self.guesses, self.finish, self.done = guesses, finish, 0

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the next ones, finished."""
        start, self.done = self.done, self.done + len(inputs)
        return self.finish(self.guesses[start : self.done], inputs)


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """The training and validation rows of a task, read once, and what guesses are worth.

    Attributes:
        data: The task's splits.
        scaled: From batches to rows.
        device: Where to compute.
    """

    data: TaskData
    scaled: Scaled
    device: torch.device

    @property
    def sizes(self) -> tuple[int, int]:
        """Values of the inputs and of the outputs of a row."""
        inputs, outputs = (int(np.prod(shape)) for shape in self.scaled.shapes)
        return inputs, outputs

    def check_memory(self, needed: int, called: str, *, advice: str = "") -> None:
        """Make sure that what a fit holds is no more than there may be.

        Args:
            needed: Bytes.
            called: What asks for it: `method 'kernel'`.
            advice: What else makes it smaller, a sentence.

        Raises:
            RequestError: it is more.
        """
        if needed > _MOST_BYTES:
            data = self.data
            inputs, outputs = self.sizes
            raise RequestError(
                f"{data.task.name}: {called} would hold {needed / 2**30:.0f} GiB for "
                f"{len(data.train)} samples of {inputs} inputs and {outputs} outputs, more than "
                f"{_MOST_BYTES / 2**30:.0f}. Set `samples` or `resolution` in the recipe, or leave "
                f"it out for this task.{advice and ' ' + advice}"
            )

    def train_rows(self, most: int | None = None) -> tuple[Tensor, Tensor]:
        """Return inputs `[n, d]` and outputs `[n, m]` of the training split, float32.

        Args:
            most: Most rows, evenly spread over the split; None: all.
        """
        samples = train_samples(self.data, self.device)
        return self._rows(samples, min(most or len(samples), len(samples)))

    def val_rows(self) -> tuple[Tensor, Tensor]:
        """Return the same of the validation split."""
        return self._rows(self.val_samples, len(self.val_samples))

    def _rows(self, samples: Samples, count: int) -> tuple[Tensor, Tensor]:
        # One array from the start: parts to be joined would be held twice.
        inputs, outputs = (torch.empty(count, size, device=self.device) for size in self.sizes)
        chosen = np.linspace(0, len(samples) - 1, count).astype(np.int64)
        done = 0
        for x, y in self.scaled.read(samples, chosen):
            part = slice(done, done + len(x))
            inputs[part], outputs[part] = x, y
            done += len(x)
        return inputs, outputs

    @property
    def val_samples(self) -> Samples:
        """The validation split."""
        return Samples(self.data.val, self.device, decode=self.data.decode)

    def scorer(self, finish: Finish) -> Callable[[Tensor], float]:
        """Return what guesses for the validation split are worth; the lowest value wins.

        It is the task's main metric, pooled as the task says, with the sign turned where more is
        better. Guesses are in the order of the split, and what `finish` makes of them is scored.
        """
        data, samples = self.data, self.val_samples
        metric = METRICS[data.task.metrics[0]]
        sign = 1 if metric.direction == "min" else -1
        session = Session()
        session.device = self.device

        def score(guesses: Tensor) -> float:
            model = _Replay(guesses, finish)
            scores = evaluate(model, samples, [metric], session, pool=data.task.pool)
            return sign * scored_by(scores, metric, data)

        return score
