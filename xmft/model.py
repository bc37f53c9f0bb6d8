"""What methods train: embedder, pretrained encoder and head, or an operator on its own."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from xmft.backbones import Backbone
from xmft.errors import DataError
from xmft.heads import ClassHead
from xmft.task import Recipe, TaskData

# Statistics of memory-mapped arrays are taken block by block.
_BLOCK = 1024


class StandardisedModel(nn.Module):
    """A network between standardised inputs and outputs, in physical units on both ends.

    Inputs are standardised per channel and dense outputs are the training mean (per point) plus
    a multiple of the training spread (per channel), with statistics of the whole training split.
    Logits stay as they are.
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
        task, train = data.task, data.train
        if task.kind == "dense":
            if train.targets.shape[2:] != train.inputs.shape[2:]:
                raise DataError(
                    f"{task.name}: targets lie on a grid of {train.targets.shape[2:]} points, "
                    f"inputs on {train.inputs.shape[2:]}; a model needs the same grid."
                )
            offset, scale = _point_mean_and_channel_spread(train.targets)
        else:
            offset, scale = torch.zeros(1), torch.ones(1)
        mean, spread = _channel_mean_and_spread(train.inputs)
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

    def physical(self, output: Tensor) -> Tensor:
        """Bring what a network gives `[n, channels, *grid]` to physical units."""
        return output * self.output_scale + self.output_offset


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
            RequestError: the backbone cannot read inputs of this shape.
        """
        super().__init__(data)
        task, train = data.task, data.train
        self.embedder = backbone.target_embedder(
            train.inputs.shape[1:], max_tokens=recipe.max_tokens
        )
        self.encoder = backbone.encoder
        self.head: nn.Module
        if task.kind == "dense":
            self.head = backbone.dense_head(
                self.embedder, train.targets.shape[1:], kind=recipe.dense_head
            )
        else:
            self.head = ClassHead(backbone.encoded_width, _classes(data))

    def embed(self, inputs: Tensor) -> Float[Tensor, "n tokens width"]:
        """Return the target token features phi(x) of inputs in physical units."""
        features: Tensor = self.embedder(self.standardised(inputs))
        return features

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict fields in physical units, or logits."""
        return self.physical(self.head(self.encoder(self.embed(inputs))))


class OperatorModel(StandardisedModel):
    """A network from fields to fields on the same grid, without a pretrained part.

    Attributes:
        operator: From standardised inputs to standardised outputs, `[n, channels, *grid]`.
    """

    def __init__(self, operator: nn.Module, data: TaskData) -> None:
        super().__init__(data)
        self.operator = operator

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict fields in physical units."""
        return self.physical(self.operator(self.standardised(inputs)))


def _classes(data: TaskData) -> int:
    """Return the number of classes, after a look at the labels.

    Raises:
        DataError: the task does not say it, or a label is none of them.
    """
    task = data.task
    if task.classes is None:
        raise DataError(f"{task.name}: a {task.kind} task must say how many classes.")
    shape: tuple[int, ...]
    allowed: tuple[int, ...] | range
    if task.kind == "multilabel":
        shape, types, allowed = (task.classes,), "f", (0, 1)
        wanted = f"0 or 1, in floating point, for each of {task.classes} labels"
    else:
        shape, types, allowed = (), "iu", range(task.classes)
        wanted = f"one integer from 0 to {task.classes - 1} for each sample"
    for name, split in (("training", data.train), ("validation", data.val), ("test", data.test)):
        labels = np.asarray(split.targets)
        wrong = labels[~np.isin(labels, allowed)]
        if labels.shape[1:] != shape or labels.dtype.kind not in types or wrong.size:
            one = f", such as {wrong[0]}," if wrong.size else ""
            raise DataError(
                f"{task.name}: found {name} labels of type {labels.dtype} and shape "
                f"{labels.shape}{one} but expected {wanted}. Check {data.source}."
            )
    return task.classes


def training_mean(targets: np.ndarray) -> Tensor:
    """Return the mean over samples of `[n, channels, *grid]` at each point."""
    return torch.from_numpy(_moments(targets)[0]).float()


def _moments(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and mean square over samples, float64, one pass over a memory map."""
    total = np.zeros(array.shape[1:])
    squares = np.zeros(array.shape[1:])
    for start in range(0, len(array), _BLOCK):
        block = np.asarray(array[start : start + _BLOCK], dtype=np.float64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    return total / len(array), squares / len(array)


def _per_channel(values: np.ndarray, shape: int) -> Tensor:
    return torch.from_numpy(values.reshape(-1, *[1] * (shape - 1))).float()


def _channel_mean_and_spread(array: np.ndarray) -> tuple[Tensor, Tensor]:
    mean, square = _moments(array)
    axes = tuple(range(1, mean.ndim))
    centre = mean.mean(axis=axes)
    size = square.mean(axis=axes)
    spread = _spread(size - centre**2, size)
    return _per_channel(centre, mean.ndim), _per_channel(spread, mean.ndim)


def _point_mean_and_channel_spread(array: np.ndarray) -> tuple[Tensor, Tensor]:
    mean, square = _moments(array)
    axes = tuple(range(1, mean.ndim))
    spread = _spread((square - mean**2).mean(axis=axes), square.mean(axis=axes))
    return torch.from_numpy(mean).float(), _per_channel(spread, mean.ndim)


def _spread(variance: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return the standard deviation; 1 for a constant channel, which is left as it is.

    A difference of two means of squares is rounding noise below some 1e-12 of their size.
    """
    constant = variance <= 1e-12 * size
    return np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))
