"""Samples of a task as flat rows that closed forms are fitted to, and back."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional

from xmft.arrays import Indices
from xmft.metrics import LOSSES
from xmft.model import StandardisedModel
from xmft.regression import Block, Rows
from xmft.samples import Decoded, Samples, shapes_of
from xmft.task import Recipe, TaskData

_ROWS = 256
# It stands on nothing itself.
_ALONE = {"base": "mean"}


class Scaled(StandardisedModel):
    """Flat rows in units of the training spread, and back."""

    def __init__(self, data: TaskData, recipe: Recipe | None = None) -> None:
        """Take the statistics; a recipe says whether rows are samples in their canonical form."""
        super().__init__(data, None if recipe is None else recipe.model_copy(update=_ALONE))
        self.kind, self.classes = data.task.kind, data.task.classes
        self.logits = LOSSES[data.task.loss].logits
        inputs, targets = shapes_of(data)
        if self.kind == "classification":
            assert self.classes is not None  # the data have looked
            targets = (self.classes,)
        self.shapes = inputs, targets

    def inputs(self, batch: Tensor) -> Tensor:
        """Return the inputs of a batch as rows."""
        rows: Tensor = self.standardised(batch).flatten(1).double()
        return rows

    def outputs(self, batch: Decoded) -> Tensor:
        """Return the targets of a batch as rows."""
        targets = batch.targets
        if self.kind == "classification":
            assert self.classes is not None
            return functional.one_hot(targets, self.classes).double()
        targets = self.targets_in_form(targets, batch.inputs)
        rows = (targets.double() - self.output_offset) / self.output_scale
        if batch.weights is not None:
            rows = rows * (batch.weights > 0)
        return rows.flatten(1)

    def predictions(self, rows: Tensor, inputs: Tensor) -> Tensor:
        """Return what rows stand for, of these inputs: fields in physical units, or logits."""
        output = rows.unflatten(1, self.shapes[1])
        # Least squares on 0 and 1 gives chances, which are even at a half.
        return (output - 0.5 if self.logits else self.physical(output, inputs=inputs)).float()

    def rows_of(self, samples: Samples) -> Rows:
        """Return samples as rows to fit to."""
        return Rows(count=len(samples), read=lambda rows: self.read(samples, rows.numpy()))

    def read(self, samples: Samples, rows: Indices) -> Iterator[Block]:
        """Yield some samples as rows of inputs and outputs, block by block."""
        for start in range(0, len(rows), _ROWS):
            batch = samples.take(rows[start : start + _ROWS])
            yield self.inputs(batch.inputs), self.outputs(batch)
