from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from xmft.errors import RequestError
from xmft.fit import fit
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]
Build = Callable[..., tuple[CrossModalModel, list[Stage]]]
State = dict[str, Tensor]


def assert_close(first: State, second: State, tolerance: float) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], atol=tolerance, rtol=tolerance, msg=key)


def curve(result: FitResult, name: str, split: str = "train") -> list[float]:
    return [p.value for p in result.curves if (p.name, p.split) == (name, split)]


def one_step(recipe: Recipe) -> Recipe:
    """A single batch of everything, so that its gradient is what is left after the run."""
    return recipe.model_copy(update={"epochs": 1, "batch_size": 64, "clip_grad_norm": None})


def shorten(data: TaskData, count: int) -> TaskData:
    train = replace(
        data.train, inputs=data.train.inputs[:count], targets=data.train.targets[:count]
    )
    return replace(data, train=train)


def gradients(model: nn.Module) -> State:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


class Shard(Session):
    """One of several workers that never hears of the others."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        self.world_size = world_size


def mean_gradient(build: Build, data: TaskData, recipe: Recipe) -> tuple[float, State]:
    model, _ = build("nft", data, recipe)
    inputs, targets = map(torch.from_numpy, (data.train.inputs, data.train.targets))
    error = (model(inputs) - targets).flatten(1).norm(dim=1) / targets.flatten(1).norm(dim=1)
    error.mean().backward()
    return error.mean().item(), gradients(model)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 5, 7, 100])
def test_accumulation_equals_the_whole_batch(
    micro_batch: int, dense_data: TaskData, recipe: Recipe, build: Build, train: Train
) -> None:
    data, recipe = shorten(dense_data, 7), one_step(recipe)
    loss, expected = mean_gradient(build, data, recipe)
    model, result = train("nft", data, recipe, micro_batch=micro_batch)
    assert curve(result, "fitting/loss") == [pytest.approx(loss, rel=1e-6)]
    assert_close(gradients(model), expected, 1e-6)


def test_accumulation_trains_the_same(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    _, whole = train("nft", dense_data, recipe)
    _, parts = train("nft", dense_data, recipe, micro_batch=3)
    assert curve(parts, "fitting/loss") == pytest.approx(curve(whole, "fitting/loss"), rel=1e-4)


@pytest.mark.parametrize(
    "samples, workers, micro_batch", [(6, 2, None), (7, 2, None), (5, 3, 1), (2, 3, None)]
)
def test_workers_together_count_every_sample_once(
    samples: int,
    workers: int,
    micro_batch: int | None,
    dense_data: TaskData,
    recipe: Recipe,
    build: Build,
    train: Train,
) -> None:
    data, recipe = shorten(dense_data, samples), one_step(recipe)
    loss, expected = mean_gradient(build, data, recipe)
    total: State = {}
    losses = 0.0
    for rank in range(workers):
        model, result = train(
            "nft", data, recipe, session=Shard(rank, workers), micro_batch=micro_batch
        )
        losses += curve(result, "fitting/loss")[0]
        for name, value in gradients(model).items():
            total[name] = total.get(name, torch.zeros(())) + value / workers  # as a wrapper would
    assert losses == pytest.approx(loss, rel=1e-6)
    assert_close(total, expected, 1e-6)


def test_all_but_the_last_part_are_kept_local_forward_and_backward(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    # A data-parallel wrapper decides in its forward pass whether the backward pass averages.
    # Workers may hold different numbers of parts, so only the last may be averaged.
    class Local(Session):
        inside = False
        forward: list[bool] = []  # noqa: RUF012
        backward: list[bool] = []  # noqa: RUF012

        @contextmanager
        def no_sync(self, module: nn.Module) -> Iterator[None]:
            self.inside = True
            yield
            self.inside = False

    session = Local()

    def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        session.forward.append(session.inside)
        loss = (model(batch.inputs) - batch.targets).flatten(1).norm(dim=1)
        loss.register_hook(lambda _: session.backward.append(session.inside))
        return {"loss": loss}

    data, recipe = shorten(dense_data, 7), one_step(recipe)
    model, stages = build("nft", data, recipe)
    stages = [replace(stages[0], objective=objective)]
    fit(model, stages, data, recipe, session, seed=0, micro_batch=3)
    assert session.backward == [True, True, False]
    assert session.forward == [True, True, False]


def test_a_classwise_batch_that_workers_cannot_share_is_refused(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    with pytest.raises(RequestError, match=r"12 samples in stage 'alignment'.* multiple of 5"):
        train("orca", dense_data, recipe, session=Shard(0, 5))
