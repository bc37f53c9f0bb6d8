import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xmft.fit import fit
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]
Build = Callable[..., tuple[CrossModalModel, list[Stage]]]
State = dict[str, Tensor]


def snapshot(model: nn.Module) -> State:
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def assert_close(first: State, second: State, tolerance: float) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], atol=tolerance, rtol=tolerance, msg=key)


def curve(result: FitResult, name: str, split: str = "train") -> list[float]:
    return [p.value for p in result.curves if (p.name, p.split) == (name, split)]


def test_the_seed_decides(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    first, again, other = (train("nft", dense_data, recipe, seed=seed)[1] for seed in (1, 1, 2))
    assert first.scores == again.scores and first.curves == again.curves
    assert first.scores != other.scores


def test_it_is_the_plain_loop(dense_data: TaskData, recipe: Recipe, build: Build) -> None:
    recipe = recipe.model_copy(update={"warmup": 0.25, "clip_grad_norm": 0.05})
    model, stages = build("nft", dense_data, recipe)
    by_hand = copy.deepcopy(model)
    result = fit(model, stages, dense_data, recipe, Session(), seed=0)

    inputs, targets = map(torch.from_numpy, (dense_data.train.inputs, dense_data.train.targets))
    optimizer = torch.optim.AdamW(
        by_hand.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    steps, rising, step = 3 * 6, 4, 0  # a quarter of 18 is 4.5, which rounds to even
    means = []
    for epoch in range(3):
        by_hand.train()
        losses = []
        for rows in stages[0].batches(epoch):
            rate = (step + 1) / rising if step < rising else (steps - step) / (steps - rising)
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * rate
            error = (by_hand(inputs[rows]) - targets[rows]).flatten(1).norm(dim=1)
            loss = (error / targets[rows].flatten(1).norm(dim=1)).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(by_hand.parameters(), 0.05)
            optimizer.step()
            losses.append(loss.item())
            step += 1
        means.append(sum(losses) / len(losses))
    assert step == steps
    assert curve(result, "fitting/loss") == pytest.approx(means, rel=1e-6)
    assert_close(snapshot(model), snapshot(by_hand), 1e-6)


@pytest.mark.parametrize("method, options", [("orca", {}), ("recraft", {"task_weight": 0.0})])
def test_alignment_moves_the_embedder_alone(
    method: str, options: dict[str, float], dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build(method, dense_data, recipe, **options)
    before = snapshot(model)
    fit(model, stages[:1], dense_data, recipe, Session(), seed=0)
    after = snapshot(model)
    # Beside parameters, RECRAFT's memory of what classes looked like.
    moved = {
        key for key in dict(model.named_parameters()) if not torch.equal(before[key], after[key])
    }
    assert moved == {
        "embedder.project.weight",
        "embedder.project.bias",
        "embedder.norm.weight",
        "embedder.norm.bias",
        "embedder.positions",
        "embedder.past.weight",
        "embedder.gain",
    }


def test_frozen_parts_need_no_gradient_and_all_parts_do_afterwards(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    seen: list[set[str]] = []
    modes: list[bool] = []

    def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        seen.append({n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad})
        modes.append(model.encoder.training == ("encoder" in seen[-1]))
        return {"loss": (model(batch.inputs) - batch.targets).flatten(1).norm(dim=1)}

    model, (fitting,) = build("nft", dense_data, recipe)
    parts = [("head",), ("embedder", "head"), ("embedder", "encoder", "head")]
    stages = [
        replace(fitting, objective=objective, trains=trains, epochs=1, validates=bool(i % 2))
        for i, trains in enumerate(parts)
    ]
    fit(model, stages, dense_data, recipe, Session(), seed=0)
    steps = len(seen) // 3
    for i, trains in enumerate(parts):
        assert seen[i * steps : (i + 1) * steps] == [set(trains)] * steps
    assert all(modes)


def test_targets_reach_the_objective_with_their_inputs_and_classes(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    # The class of a sample is the number of its row; every row of a batch must belong together.
    rows: list[int] = []

    def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        assert batch.classes is not None
        for i, row in enumerate(batch.classes.tolist()):
            assert np.array_equal(batch.inputs[i].numpy(), dense_data.train.inputs[row])
            assert np.array_equal(batch.targets[i].numpy(), dense_data.train.targets[row])
            rows.append(row)
        return {"loss": model(batch.inputs).square().mean()}

    model, (fitting,) = build("nft", dense_data, recipe)
    stage = replace(fitting, objective=objective, classes=np.arange(45), epochs=2)
    fit(model, [stage], dense_data, recipe, Session(), seed=0)
    assert sorted(rows) == sorted([*range(45)] * 2)


def test_reduced_precision_stays_near(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    _, full = train("nft", dense_data, recipe)
    _, half = train("nft", dense_data, recipe.model_copy(update={"precision": "bfloat16"}))
    assert half.scores != full.scores
    for first, second in zip(full.scores, half.scores, strict=True):
        assert second.value == pytest.approx(first.value, rel=0.1)
