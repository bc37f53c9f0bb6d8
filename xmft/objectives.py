"""Objectives of a batch as a whole, in two halves between which it can be taken in parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from xmft.stages import Batch

Features = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class BatchObjective:
    """A loss of the batch as a whole, of what the model makes of each sample.

    The first half is the network and takes the memory, the second compares samples. So a batch too
    large for a device is represented part by part without a graph, the loss gives its gradient with
    respect to the representations, and each part is represented once more to pass its share on:
    the gradient of the whole batch, for a second forward pass (gradient caching: Gao et al., 2021).

    Attributes:
        represent: From the model and a batch, or a part of one, to features `[n, ...]` of its
            samples, each of one sample alone.
        loss: From the model, the features of the worker's batch and that batch to what an
            `Objective` returns, all scalars. It is called once in a step, reads no parameters that
            learn, may change the model's buffers, and puts features of several workers together by
            `Batch.gather`.
        sums: Names of features that are no rows of samples but sums over them `[1, ...]`.
    """

    represent: Callable[[Any, Batch], Features]
    loss: Callable[[Any, Features, Batch], Mapping[str, Tensor]]
    sums: frozenset[str] = frozenset()

    def __call__(self, model: Any, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of a batch that is taken at once."""
        return self.loss(model, self.represent(model, batch), batch)
