import copy
import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import xmft.fit as fit_module
from xmft.errors import DivergedError, RequestError
from xmft.examples import examples_of
from xmft.fit import fit
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Progress, Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[CrossModalModel, FitResult]]
Build = Callable[..., tuple[CrossModalModel, list[Stage]]]
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


def assert_close(first: State, second: State, tolerance: float) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], atol=tolerance, rtol=tolerance, msg=key)


def curve(result: FitResult, name: str, split: str = "train") -> list[float]:
    return [p.value for p in result.curves if (p.name, p.split) == (name, split)]


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


# --- gradients ---------------------------------------------------------------------------------


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


# --- what is trained ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["orca", "recraft"])
def test_alignment_moves_the_embedder_alone(
    method: str, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build(method, dense_data, recipe)
    before = snapshot(model)
    fit(model, stages[:1], dense_data, recipe, Session(), seed=0)
    after = snapshot(model)
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved == {
        "embedder.project.weight",
        "embedder.project.bias",
        "embedder.norm.weight",
        "embedder.norm.bias",
        "embedder.positions",
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


# --- what is written down ----------------------------------------------------------------------


def test_best_val_is_the_epoch_with_the_lowest_score(
    dense_data: TaskData, recipe: Recipe, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe.model_copy(update={"epochs": 5})
    script = iter([3.0, 1.0, 2.0, 1.0, 4.0])  # the first of two equal ones wins
    model, stages = build("nft", dense_data, recipe)
    real = fit_module.evaluate

    def evaluate(model: nn.Module, samples: Any, *rest: Any, **options: Any) -> dict[str, float]:
        found = real(model, samples, *rest, **options)
        value = next(script, None) if len(samples) == len(dense_data.val) else None
        return found if value is None else {**found, "nrmse": value}

    monkeypatch.setattr(fit_module, "evaluate", evaluate)
    keeper = Keeper()
    result = fit(model, stages, dense_data, recipe, keeper, seed=0)

    assert curve(result, "nrmse", "val") == [3.0, 1.0, 2.0, 1.0, 4.0]
    by_hand = copy.deepcopy(model).eval()
    inputs, targets = (
        torch.from_numpy(x) for x in (dense_data.test.inputs, dense_data.test.targets)
    )
    for selection, epoch in (("best_val", 2), ("last", 5)):
        saved = torch.load(io.BytesIO(keeper.states[epoch - 1]), weights_only=True)
        by_hand.load_state_dict(saved["model"])
        with torch.no_grad():
            error = (by_hand(inputs) - targets).double().flatten(1).norm(dim=1)
        expected = (error / targets.double().flatten(1).norm(dim=1)).mean().item()
        (score,) = (
            s
            for s in result.scores
            if (s.split, s.selection, s.metric) == ("test", selection, "nrmse")
        )
        assert score.epoch == epoch
        assert score.value == pytest.approx(expected, rel=1e-6)


def test_a_validation_score_that_only_rises_selects_the_first_epoch(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    # The model starts at the training mean; where that is the truth, learning only does harm.
    mean = dense_data.train.targets.mean(axis=0, keepdims=True)
    val = replace(dense_data.val, targets=np.repeat(mean, len(dense_data.val), axis=0))
    _, result = train("nft", replace(dense_data, val=val), recipe)
    values = curve(result, "nrmse", "val")
    assert values == sorted(values) and values[0] < values[-1]
    found = {s.selection: s for s in result.scores if (s.split, s.metric) == ("val", "nrmse")}
    assert (found["best_val"].epoch, found["last"].epoch) == (1, 3)
    assert found["best_val"].value == pytest.approx(values[0])
    assert found["last"].value == pytest.approx(values[-1])


def test_every_metric_is_scored_on_both_splits_under_both_selections(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, result = train("recraft", dense_data, recipe)
    keys = [(s.split, s.selection, s.metric) for s in result.scores]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    assert {s.epoch for s in result.scores if s.selection == "last"} == {5}
    # Epochs count over both stages; alignment is not validated.
    assert [p.epoch for p in result.curves if p.name == "alignment/loss"] == [1, 2]
    assert [p.epoch for p in result.curves if p.name == "fitting/loss"] == [3, 4, 5]
    assert [p.epoch for p in result.curves if (p.split, p.name) == ("val", "nrmse")] == [3, 4, 5]
    assert {"align", "fit", "eval"} == result.seconds.keys()
    assert result.resumed_epochs == 0


def test_curves_have_the_first_metrics_and_the_scores_all(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    names = ("rmse", "nrmse", "nrmse_pdebench", "max_error")
    found = {}
    for count in (3, 4):
        # The fourth is only there to be left out.
        task = replace(dense_data.task, metrics=names[:count])
        _, result = train("nft", replace(dense_data, task=task), recipe)
        assert {p.name for p in result.curves if p.split == "val"} == set(names[:3])
        assert {s.metric for s in result.scores} == set(names[:count])
        found[count] = [s for s in result.scores if s.metric in names[:3]], result.curves
    assert found[3] == found[4]


def test_a_method_without_stages_is_scored_as_it_is(dense_data: TaskData, recipe: Recipe) -> None:
    class Half(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, :1] / 2

    result = fit(Half(), [], dense_data, recipe, Session(), seed=0)
    keys = [(s.split, s.selection, s.metric) for s in result.scores]
    assert len(keys) == len(set(keys)) == 2 * 2 * 3
    assert {s.epoch for s in result.scores} == {0}
    assert (result.curves, result.measurements, result.resumed_epochs) == ((), {}, 0)
    assert result.seconds.keys() == {"eval"}
    error = dense_data.test.inputs[:, :1].astype(np.float64) / 2 - dense_data.test.targets
    sizes = np.linalg.norm(dense_data.test.targets.astype(np.float64), axis=2)
    expected = (np.linalg.norm(error, axis=2) / sizes).mean()
    for score in result.scores:
        if (score.split, score.metric) == ("test", "nrmse"):
            assert score.value == pytest.approx(expected, rel=1e-6)


def test_examples_are_predictions_of_the_last_epoch(
    dense_data: TaskData, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    keeper = Keeper()
    model, result = train("nft", dense_data, recipe, session=keeper)
    examples = result.examples
    assert examples is not None and len(examples) == 3
    assert np.array_equal(examples.inputs, dense_data.test.inputs[:3])
    assert np.array_equal(examples.targets, dense_data.test.targets[:3])
    last = torch.load(io.BytesIO(keeper.states[-1]), weights_only=True)["model"]
    model.load_state_dict(last)
    with torch.no_grad():
        expected = model.eval()(torch.from_numpy(dense_data.test.inputs[:3])).numpy()
    assert examples.predictions.dtype == np.float32
    np.testing.assert_allclose(examples.predictions, expected, rtol=1e-6)
    _, again = train("nft", dense_data, recipe, session=keeper)  # from the last state
    assert again.examples is not None
    assert np.array_equal(again.examples.predictions, examples.predictions)
    assert train("nft", class_data, recipe)[1].examples is None
    assert train("nft", dense_data, recipe, session=Shard(1, 2))[1].examples is None


@pytest.mark.parametrize(
    ("shape", "kept", "stride"),
    [
        ((5, 1, 32), 3, 1),
        ((2, 1, 32), 2, 1),
        ((5, 2, 256, 256), 1, 1),  # 1.5 MiB each
        ((5, 1, 1024, 1024), 1, 3),  # 12 MiB
        ((5, 1, 10**6), 1, 6),
    ],
)
def test_examples_stay_small(shape: tuple[int, ...], kept: int, stride: int) -> None:
    fields = np.broadcast_to(np.arange(shape[-1], dtype=np.float32), shape)
    examples = examples_of(Split(inputs=fields, targets=fields), lambda inputs: inputs + 1)
    assert (len(examples), examples.stride) == (kept, stride)
    every = (slice(kept), slice(None), *[slice(None, None, stride)] * (len(shape) - 2))
    assert np.array_equal(examples.inputs, fields[every])
    assert np.array_equal(examples.targets, fields[every])
    assert np.array_equal(examples.predictions, fields[every] + 1)
    arrays = (examples.inputs, examples.targets, examples.predictions)
    assert sum(array.nbytes for array in arrays) <= 2 * 2**20


def test_progress_runs_from_zero_to_all_steps(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    class Listener(Session):
        heard: list[Progress] = []  # noqa: RUF012

        def report(self, progress: Progress) -> None:
            self.heard.append(progress)

    train("orca", dense_data, recipe, session=Listener())
    for stage, steps in (("alignment", 20), ("fitting", 18)):
        heard = [p for p in Listener.heard if p.stage == stage]
        numbers = [p.step for p in heard]
        assert numbers == sorted(numbers) and (numbers[0], numbers[-1]) == (0, steps)
        assert {p.steps for p in heard} == {steps}
        assert heard[-1].losses.keys() == {"loss"}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_epoch(
    value: float, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    calls = 0

    def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        loss = (model(batch.inputs) - batch.targets).flatten(1).norm(dim=1)
        return {"loss": loss * value if calls > 6 else loss}  # six batches in an epoch

    model, (fitting,) = build("nft", dense_data, recipe)
    keeper = Keeper()
    with pytest.raises(DivergedError, match=r"in epoch 2 of stage 'fitting' are not finite.*rate"):
        fit(model, [replace(fitting, objective=objective)], dense_data, recipe, keeper, seed=0)
    assert len(keeper.states) == 1  # nothing is kept of the epoch that went wrong


def test_reduced_precision_stays_near(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    _, full = train("nft", dense_data, recipe)
    _, half = train("nft", dense_data, recipe.model_copy(update={"precision": "bfloat16"}))
    assert half.scores != full.scores
    for first, second in zip(full.scores, half.scores, strict=True):
        assert second.value == pytest.approx(first.value, rel=0.1)
