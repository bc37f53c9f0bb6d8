import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Session
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]

State = dict[str, Tensor]


class Interrupted(Exception):
    pass


class Keeper(Session):
    """Keeps states as bytes, as a checkpoint file would, and may die after one of them."""

    def __init__(self, *, dies_after: int | None = None) -> None:
        self.dies_after = dies_after
        self.states: list[bytes] = []
        self.forced: list[bool] = []

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        buffer = io.BytesIO()
        torch.save(state(), buffer)
        self.states.append(buffer.getvalue())
        self.forced.append(force)
        if len(self.states) == self.dies_after:
            raise Interrupted

    def restore(self) -> dict[str, Any] | None:
        if not self.states:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(self.states[-1]), weights_only=True)
        return state


def snapshot(model: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def assert_same(first: State, second: State) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


# Alignment has two epochs, fitting three: a save after each of them.
@pytest.mark.parametrize(
    "method, dies_after",
    [
        *((m, k) for m in ("nft", "fno", "unet", "pare") for k in (1, 3)),
        *((m, k) for m in ("orca", "recraft", "mona") for k in (1, 2, 3, 5)),
    ],
)
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    method: str, dies_after: int, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, result = train(method, dense_data, recipe)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, dense_data, recipe, session=keeper)
    torch.rand(7)  # another process would not have this state of the generator
    resumed_model, resumed = train(method, dense_data, recipe, session=keeper)
    assert resumed.resumed_epochs == dies_after
    assert resumed.scores == result.scores
    assert resumed.curves == result.curves
    assert resumed.measurements == result.measurements
    assert resumed.flops == result.flops
    assert resumed.seconds.keys() == result.seconds.keys()
    assert_same(snapshot(resumed_model), snapshot(model))
    # Forced at the end of a stage.
    fitting = [False, False, True]
    aligned = method in ("orca", "recraft", "mona")
    assert keeper.forced == ([False, True, *fitting] if aligned else fitting)


@pytest.mark.parametrize(
    "method, dies_after",
    [
        *(("orca:released", k) for k in (1, 4)),
        *(("recraft:paper", k) for k in (1, 4)),
        *(("recraft:released", k) for k in (1, 3, 5)),
    ],
)
def test_presets_go_on_as_if_nothing_had_happened(
    method: str, dies_after: int, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, result = train(method, dense_data, recipe)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, dense_data, recipe, session=keeper)
    torch.rand(7)
    resumed_model, resumed = train(method, dense_data, recipe, session=keeper)
    assert resumed.resumed_epochs == dies_after
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert resumed.measurements == result.measurements
    assert resumed.flops == result.flops
    assert_same(snapshot(resumed_model), snapshot(model))


def test_a_run_that_dies_twice_still_ends_the_same(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    model, result = train("orca", dense_data, recipe)
    keeper = Keeper()
    for dies_after in (1, 4):
        keeper.dies_after = dies_after
        with pytest.raises(Interrupted):
            train("orca", dense_data, recipe, session=keeper)
    resumed_model, resumed = train("orca", dense_data, recipe, session=keeper)
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))
