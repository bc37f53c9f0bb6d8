"""Nearest neighbours: what a task takes without learning anything but by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from xmft import flops
from xmft.closed_forms.choosing import Fitting
from xmft.closed_forms.scaled import Scaled
from xmft.methods.method import Context, Method, MethodConfig, register
from xmft.recipe import OF_SAMPLES, Recipe
from xmft.stages import Stage

Distance = Literal["euclidean", "cosine", "manhattan"]
Votes = Literal["equal", "near"]
# Rows whose neighbours are looked for at once.
_BLOCK = 1024


class _Choice(NamedTuple):
    """One way to ask the neighbours."""

    distance: Distance
    votes: Votes
    neighbours: int


@register
class NearestNeighbours(Method):
    """The k nearest training samples vote, or their fields are averaged.

    Distances are between standardised inputs, all values in one row. The number of neighbours, the
    distance and the weight of a vote are those with the best score on validation; of equally good
    ones the first, with the fewest neighbours. Logits are the logarithm of the share of votes, with
    one more vote that the classes share evenly; for several labels those of a label against its
    absence. Targets of weight 0 count as the training mean, of logits as 0.
    """

    name = "knn"
    version = 1
    title = "nearest neighbours of the raw inputs; their number and distance chosen on validation"
    uses_backbone = False
    ignores = frozenset(Recipe.model_fields) - OF_SAMPLES - {"canonical"}
    seconds_per_sample = 0.001

    class Config(MethodConfig):
        """What is chosen from; `near` votes weigh one over the distance."""

        neighbours: tuple[Annotated[int, Field(ge=1)], ...] = Field(
            (1, 3, 5, 9, 17, 33, 65), strict=False, min_length=1, description="their number"
        )
        distances: tuple[Distance, ...] = Field(
            ("euclidean", "cosine"),
            strict=False,
            min_length=1,
            description="euclidean, cosine, manhattan (many times slower)",
        )
        votes: tuple[Votes, ...] = Field(
            ("equal", "near"), strict=False, min_length=1, description="what a vote weighs"
        )

    def model(self, context: Context) -> nn.Module:
        """Keep the training split and choose how it is asked.

        Raises:
            RequestError: the samples do not fit into memory.
        """
        data, config = context.data, self.config
        fitting = Fitting(
            data=data, scaled=Scaled(data, context.recipe).to(context.device), device=context.device
        )
        inputs, outputs = fitting.sizes
        count, asked = len(data.train), len(data.val)
        # Training rows, validation rows and predictions of validation for every choice in turn.
        needed = 4 * (count + asked) * (inputs + outputs) + 8 * asked * outputs
        fitting.check_memory(needed, f"method '{self.name}'")
        model = Neighbours(fitting.scaled, *fitting.train_rows())
        numbers = sorted({min(number, count) for number in config.neighbours})
        rows, _ = fitting.val_rows()
        score = fitting.scorer(model.predictions)
        best = math.inf
        for distance in dict.fromkeys(config.distances):
            found = model.nearest(rows, distance, numbers[-1])
            for votes in dict.fromkeys(config.votes):
                for number, guess in model.guesses(*found, votes, numbers):
                    if (value := score(guess)) < best:
                        best, model.choice = value, _Choice(distance, votes, number)
        return model

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage: there is nothing to train."""
        return []


class Neighbours(nn.Module):
    """Training rows that are asked for their outputs.

    Attributes:
        choice: How they are asked.
    """

    rows: Tensor
    outputs: Tensor

    def __init__(self, scaled: Scaled, rows: Tensor, outputs: Tensor) -> None:
        """Keep standardised inputs `[n, d]` and outputs `[n, m]`."""
        super().__init__()
        self.scaled = scaled
        self.register_buffer("rows", rows)
        self.register_buffer("outputs", outputs)
        self.choice = _Choice("euclidean", "equal", 1)

    @property
    def measured(self) -> dict[str, float]:
        """What validation has chosen, for the ledger."""
        distance, votes, number = self.choice
        return {"neighbours": number, "near_votes": votes == "near", f"{distance}_distance": 1}

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict fields in physical units, or logits."""
        distance, votes, number = self.choice
        found = self.nearest(self.scaled.inputs(inputs).float(), distance, number)
        ((_, guess),) = self.guesses(*found, votes, [number])
        return self.predictions(guess, inputs)

    def nearest(self, rows: Tensor, distance: Distance, number: int) -> tuple[Tensor, Tensor]:
        """Return distances and numbers of the nearest training rows, `[n, number]`, in order."""
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=number, metric=distance, algorithm="brute")
        search.fit(self.rows.cpu().numpy())
        # A difference or a product of every value with every training row, and its sum.
        flops.add(2 * len(rows) * self.rows.numel())
        found = [search.kneighbors(part.cpu().numpy()) for part in rows.split(_BLOCK)]
        apart, places = (
            torch.cat([torch.from_numpy(part[i]) for part in found]).to(rows.device) for i in (0, 1)
        )
        return apart, places

    def guesses(
        self, apart: Tensor, places: Tensor, votes: Votes, numbers: Sequence[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Yield what the nearest say, for each of several numbers of them in rising order.

        Outputs of fields, logits of classes and labels, `[n, m]`.
        """
        weights = _weights(apart.double(), votes)
        total = self.outputs.new_zeros(len(places), self.outputs.shape[1])
        for place in range(numbers[-1]):
            total += weights[:, place, None].float() * self.outputs[places[:, place]]
            if (number := place + 1) in numbers:
                share = weights[:, :number].sum(dim=1, keepdim=True).float()
                means = total / share
                yield number, self._logits(means, number) if self.scaled.logits else means

    def predictions(self, guess: Tensor, inputs: Tensor) -> Tensor:
        """Return what a guess stands for, of these inputs: fields in physical units, or logits."""
        scaled = self.scaled
        if scaled.logits:
            return guess.unflatten(1, scaled.shapes[1])
        return scaled.predictions(guess, inputs)

    def _logits(self, means: Tensor, number: int) -> Tensor:
        classification = self.scaled.kind == "classification"
        classes = means.shape[1] if classification else 2
        chances = (number * means + 1 / classes) / (number + 1)
        return chances.log() if classification else torch.logit(chances)


def _weights(apart: Tensor, votes: Votes) -> Tensor:
    """Return the weight of each neighbour, `[n, k]`; one that is the sample itself has all."""
    if votes == "equal":
        return torch.ones_like(apart)
    same = apart == 0
    return torch.where(same.any(dim=1, keepdim=True), same.double(), 1 / apart)
