"""Runs that are asked to stop, anywhere, and end as if nobody had asked."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xmft.errors import StoppedError
from xmft.methods import register
from xmft.methods.method import Context
from xmft.methods.nft import NaiveFineTuning
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.registry import forget, registering
from xmft.session import Request, Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]


class Asked(Session):
    """Asks for something at numbered questions; keeps states as bytes, as files would."""

    def __init__(self, asks: dict[int, Request]) -> None:
        self.asks = asks
        self.questions = 0
        self.kept: bytes | None = None
        self.places: list[tuple[int, int, int]] = []

    def asked(self) -> Request:
        self.questions += 1
        return self.asks.get(self.questions, "")

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        saved = state()
        buffer = io.BytesIO()
        torch.save(saved, buffer)
        self.kept = buffer.getvalue()
        self.places.append(tuple(saved["place"].values()))

    def restore(self) -> dict[str, Any] | None:
        if self.kept is None:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(self.kept), weights_only=True)
        return state


class Noisy(NaiveFineTuning):
    """Naive fine-tuning with random numbers of every generator in its loss."""

    name, version, title = "noisy", 1, "with noise of all kinds"

    def stages(self, context: Context) -> list[Stage]:
        (stage,) = super().stages(context)

        def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
            losses = dict(stage.objective(model, batch))
            kept = nn.functional.dropout(losses["loss"], 0.5)
            losses["loss"] = kept * (2 + random.gauss(0, 0.1) + np.random.normal(0, 0.1))
            return losses

        return [replace(stage, objective=objective)]


@pytest.fixture(scope="module", autouse=True)
def noisy() -> Iterator[None]:
    with registering("stopping"):
        register(Noisy)
    yield
    forget("stopping")


def assert_same(
    found: tuple[CrossModalModel, FitResult], wanted: tuple[CrossModalModel, FitResult]
) -> None:
    (model, result), (other, whole) = found, wanted
    assert (result.scores, result.curves) == (whole.scores, whole.curves)
    assert result.measurements == whole.measurements
    for key, value in other.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key


# Six batches in each of three epochs of fitting; a question before each, and one at the scoring.
# Stage 1 of recraft has two epochs of ten before, and is scored after the last epoch alone.
@pytest.mark.parametrize(
    "method, stops",
    [
        ("noisy", [1]),
        ("noisy", [4]),
        ("noisy", [7]),  # while the validation split is scored
        ("noisy", [11, 2]),  # and again two steps later
        ("noisy", [3, 1]),  # and again at once
        ("noisy", [22]),  # while the final scores are made
        ("recraft", [5]),
        ("recraft", [11]),
        ("recraft", [15, 4]),
        ("recraft", [17, 12]),
        ("mona", [5]),
        ("pare", [9]),
    ],
)
def test_a_run_that_was_stopped_ends_the_same(
    method: str, stops: list[int], dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    wanted = train(method, dense_data, recipe)
    session = Asked({})
    for stop in stops:
        session.questions, session.asks = 0, {stop: "stop"}
        with pytest.raises(StoppedError, match=r"goes on from there|was scored"):
            train(method, dense_data, recipe, session=session)
        torch.rand(7), np.random.rand(3)  # another process would not have these states
    session.asks = {}
    assert_same(train(method, dense_data, recipe, session=session), wanted)


def test_the_place_is_in_the_middle_of_an_epoch(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    session = Asked({4: "save", 9: "stop"})
    with pytest.raises(StoppedError, match="after 1 steps of epoch 2 in stage 1"):
        train("noisy", dense_data, recipe, session=session)
    assert session.places == [(0, 0, 3), (0, 1, 0), (0, 1, 1)]


def test_a_checkpoint_on_the_way_changes_nothing(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    wanted = train("noisy", dense_data, recipe)
    asks: dict[int, Request] = dict.fromkeys(range(1, 30), "save")
    assert_same(train("noisy", dense_data, recipe, session=Asked(asks)), wanted)


def test_scoring_of_many_batches_stops_between_them(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    """600 samples are three batches of scoring; a stop at the second keeps the trained epoch."""
    many = Split(
        inputs=np.resize(dense_data.val.inputs, (600, *dense_data.val.inputs.shape[1:])),
        targets=np.resize(dense_data.val.targets, (600, *dense_data.val.targets.shape[1:])),
    )
    data = replace(dense_data, val=many)
    session = Asked({8: "stop"})
    with pytest.raises(StoppedError):
        train("noisy", data, recipe, session=session)
    assert session.places == [(0, 0, 6)]
    session.asks = {}
    assert_same(train("noisy", data, recipe, session=session), train("noisy", data, recipe))
