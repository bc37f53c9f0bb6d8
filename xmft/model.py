"""What methods train: embedder, pretrained encoder and head, or an operator on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xmft.adapters import add_adapters
from xmft.arrays import Indices
from xmft.backbones import Backbone
from xmft.errors import DataError, RequestError
from xmft.heads import ClassHead, CorrectedHead
from xmft.metrics import LOSSES
from xmft.samples import decoded_inputs_and_targets, shapes_of
from xmft.seeding import aside
from xmft.task import Recipe, TaskData

if TYPE_CHECKING:
    from xmft.closed_forms.residual import ClosedFormBase

# Statistics of memory-mapped arrays are taken block by block.
_BLOCK = 1024
# Of rows that are decoded one batch after the other, at most this many are looked at.
_DECODED = 4096


class StandardisedModel(nn.Module):
    """A network between standardised inputs and outputs, in physical units on both ends.

    Inputs are standardised per channel and dense outputs are the training mean (per point) plus
    a multiple of the training spread (per channel), with statistics of the whole training split.
    Logits stay as they are. On a closed form (`stand_on`) dense outputs are its predictions plus a
    multiple of what it leaves.

    Attributes:
        closed_form: What the network learns the residual of; None: the training mean.
    """

    input_mean: Tensor
    input_spread: Tensor
    output_offset: Tensor
    output_scale: Tensor

    def __init__(self, data: TaskData) -> None:
        """Take the statistics.

        Raises:
            DataError: dense targets lie on another grid than the inputs.
        """
        super().__init__()
        self.closed_form: ClosedFormBase | None = None
        inputs, targets = shapes_of(data)
        fields = data.task.kind == "dense"
        if fields and targets[1:] != inputs[1:]:
            raise DataError(
                f"{data.task.name}: targets lie on a grid of {targets[1:]} points, inputs on "
                f"{inputs[1:]}; a model needs the same grid."
            )
        of_inputs, of_targets = _moments_of(data)
        mean, spread = _channel_mean_and_spread(of_inputs)
        if fields and not LOSSES[data.task.loss].logits:
            windows = data.train.windows
            if windows is not None and windows.random:
                # A point of a window that may lie anywhere is no place of its own.
                offset, scale = _channel_mean_and_spread(of_targets)
            else:
                offset, scale = _point_mean_and_channel_spread(of_targets)
        else:
            offset, scale = torch.zeros(1), torch.ones(1)
        for name, value in {
            "input_mean": mean,
            "input_spread": spread,
            "output_offset": offset,
            "output_scale": scale,
        }.items():
            self.register_buffer(name, value)

    def standardised(self, inputs: Tensor) -> Tensor:
        """Bring inputs `[n, channels, *grid]` in physical units to mean 0 and spread 1."""
        return (inputs - self.input_mean) / self.input_spread

    def stand_on(self, closed_form: ClosedFormBase) -> None:
        """Learn what a closed form leaves from now on; it lies where the model does.

        It is no part of the model's state: fitted anew to the same data it is the same.
        """
        self.closed_form = closed_form
        self.output_scale.copy_(closed_form.spread)

    def base(self, inputs: Tensor) -> Tensor:
        """Return what the network's output is added to, in physical units, for new inputs."""
        return self.output_offset if self.closed_form is None else self.closed_form(inputs)

    def training_base(self, rows: Indices) -> Tensor | None:
        """Return the same for rows of the training split, of a closed form that did not see them.

        None where the base has not learned from single samples.
        """
        return None if self.closed_form is None else self.closed_form.of_training(rows)

    def physical(self, output: Tensor, base: Tensor | None = None) -> Tensor:
        """Bring what a network gives `[n, channels, *grid]` to physical units.

        Args:
            output: Of the network.
            base: What it is added to, `[n, channels, *grid]`: in training `Batch.base`; None: the
                training mean.

        Raises:
            RequestError: the model stands on a closed form and was given nothing of it.
        """
        if base is None:
            if self.closed_form is not None:
                raise RequestError(
                    "The method puts its model's parts together itself and leaves out the base: "
                    "`physical(output, batch.base)` in training, `physical(output, "
                    "model.base(inputs))` elsewhere. Mend that, or use `base: mean`."
                )
            base = self.output_offset
        return output * self.output_scale + base

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        super()._apply(*arguments, **options)
        if self.closed_form is not None:
            self.closed_form.to(self.output_scale.device)
        return self


class CrossModalModel(StandardisedModel):
    """embedder -> encoder -> head, in physical units on both ends.

    Attributes:
        embedder: The target embedder (phi).
        encoder: The pretrained body.
        head: The target predictor.
    """

    def __init__(self, backbone: Backbone, data: TaskData, recipe: Recipe) -> None:
        """Build.

        Raises:
            DataError: labels are not those of the task's classes.
            RequestError: the backbone cannot read inputs of this shape, or the recipe asks for
                what they or the backbone do not allow.
        """
        super().__init__(data)
        task, (inputs, targets) = data.task, shapes_of(data)
        self.embedder = backbone.target_embedder(inputs, recipe)
        self.encoder = backbone.encoder
        self.head: nn.Module
        if task.kind == "dense":
            self.head = backbone.dense_head(self.embedder, targets, kind=recipe.dense_head)
            if recipe.refine or recipe.residual:
                self.head = CorrectedHead(self.head, inputs, targets[0], recipe)
        else:
            data.check_labels()
            assert task.classes is not None  # the data have looked
            self.head = ClassHead(backbone.encoded_width, task.classes)
        if recipe.encoder == "lora":
            with aside("adapters"):
                add_adapters(self.encoder, recipe.lora_rank)

    def embed(self, inputs: Tensor) -> Float[Tensor, "n tokens width"]:
        """Return the target token features phi(x) of inputs in physical units."""
        features: Tensor = self.embedder(self.standardised(inputs))
        return features

    def forward(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        """Predict fields in physical units, or logits; with a `base` other than that of inputs."""
        base = self.base(inputs) if base is None else base
        return self.decode(self.encoder(self.embed(inputs)), inputs, base)

    def decode(
        self, encoded: Float[Tensor, "n t width"], inputs: Tensor, base: Tensor | None = None
    ) -> Tensor:
        """Predict from encoded tokens of inputs, which are in physical units; see `physical`."""
        if not isinstance(self.head, CorrectedHead):
            return self.physical(self.head(encoded), base)
        frame = None
        if self.head.last is not None:
            # In units of the outputs, so that a head that writes nothing returns it as it is.
            frame = (inputs[:, -self.head.last :] - self.output_offset) / self.output_scale
        return self.physical(self.head(encoded, self.standardised(inputs), frame), base)


class OperatorModel(StandardisedModel):
    """A network from fields to fields on the same grid, without a pretrained part.

    Attributes:
        operator: From standardised inputs to standardised outputs, `[n, channels, *grid]`.
    """

    def __init__(self, operator: nn.Module, data: TaskData) -> None:
        super().__init__(data)
        self.operator = operator

    def forward(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        """Predict fields in physical units; with a `base` other than that of inputs."""
        output = self.operator(self.standardised(inputs))
        return self.physical(output, self.base(inputs) if base is None else base)


def training_mean(data: TaskData) -> Tensor:
    """Return the mean over the training targets `[n, channels, *grid]` at each point."""
    return torch.from_numpy(_moments_of(data)[1].mean).float()


class _Moments:
    """Mean and mean square over samples at each point, float64, block by block."""

    def __init__(self) -> None:
        self._count = 0
        self._total: np.ndarray | float = 0.0
        self._squares: np.ndarray | float = 0.0

    def add(self, values: np.ndarray) -> None:
        """Take in samples `[n, ...]`."""
        block = np.asarray(values, dtype=np.float64)
        self._count += len(block)
        self._total = self._total + block.sum(axis=0)
        self._squares = self._squares + np.square(block).sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """Mean over samples."""
        return np.asarray(self._total / self._count)

    @property
    def square(self) -> np.ndarray:
        """Mean square over samples."""
        return np.asarray(self._squares / self._count)


def _moments_of(data: TaskData) -> tuple[_Moments, _Moments]:
    """Return the moments of the training inputs and targets, of many rows to decode of a part."""
    inputs, targets = _Moments(), _Moments()
    for x, y in _training_blocks(data):
        inputs.add(x)
        if data.task.kind == "dense":
            targets.add(y)
    return inputs, targets


def _training_blocks(data: TaskData) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    train = data.train
    if data.decode is not None or train.windows is not None:
        yield from decoded_inputs_and_targets(data, _DECODED)
        return
    assert isinstance(train.inputs, np.ndarray) and isinstance(train.targets, np.ndarray)
    for start in range(0, len(train), _BLOCK):
        part = slice(start, start + _BLOCK)
        yield train.inputs[part], train.targets[part]


def _per_channel(values: np.ndarray, shape: int) -> Tensor:
    return torch.from_numpy(values.reshape(-1, *[1] * (shape - 1))).float()


def _channel_mean_and_spread(moments: _Moments) -> tuple[Tensor, Tensor]:
    mean, square = moments.mean, moments.square
    axes = tuple(range(1, mean.ndim))
    centre = mean.mean(axis=axes)
    size = square.mean(axis=axes)
    spread = _spread(size - centre**2, size)
    return _per_channel(centre, mean.ndim), _per_channel(spread, mean.ndim)


def _point_mean_and_channel_spread(moments: _Moments) -> tuple[Tensor, Tensor]:
    mean, square = moments.mean, moments.square
    axes = tuple(range(1, mean.ndim))
    spread = _spread((square - mean**2).mean(axis=axes), square.mean(axis=axes))
    return torch.from_numpy(mean).float(), _per_channel(spread, mean.ndim)


def _spread(variance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the standard deviation; 1 for a constant channel, which is left as it is.

    A difference of two means of squares is rounding noise below some 1e-12 of their size.
    """
    constant = variance <= 1e-12 * size
    return np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
