from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from xmft.backbones import load_backbone
from xmft.fit import fit
from xmft.methods import METHODS, Context
from xmft.records import FitResult
from xmft.session import Session
from xmft.source.artefacts import SourceConfig
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]
ORDERS = ("exact", "first")


def batch_of(data: TaskData, indices: list[int], *, step: int = 0) -> Batch:
    return Batch(
        inputs=torch.from_numpy(data.train.inputs[indices]),
        targets=torch.from_numpy(data.train.targets[indices]),
        classes=None,
        indices=np.array(indices),
        step=step,
        steps=20,
        gather=lambda x: x,
    )


def gradient(model: Any, losses: Tensor) -> Tensor:
    model.zero_grad()
    losses.mean().backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    learning = [*model.embedder.parameters(), *model.head.parameters()]
    return torch.cat([p.grad.flatten() for p in learning])


@pytest.fixture
def lively(build: Build) -> Build:
    """Builds with an encoder whose weights matter: the tiny one's are drawn near zero."""

    def built(*arguments: Any, **options: Any) -> tuple[Any, list[Stage]]:
        model, stages = build(*arguments, **options)
        with torch.no_grad():
            for parameter in model.encoder.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(5)
        model.encoder.requires_grad_(False)
        return model.eval(), stages

    return built


@pytest.mark.parametrize("kind", ["dense_data", "class_data"])
def test_without_weight_it_is_naive_fine_tuning_bit_for_bit(
    kind: str, recipe: Recipe, train: Train, request: pytest.FixtureRequest
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    plain, expected = train("nft", data, recipe)
    model, result = train("mona", data, recipe, outer_weight=0.0)
    assert (result.scores, result.curves) == (expected.scores, expected.curves)
    theirs = plain.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["dense_data", "class_data"])
def test_little_weight_leaves_the_task_and_more_of_it_does_not(
    kind: str, order: str, recipe: Recipe, lively: Build, request: pytest.FixtureRequest
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    batch = batch_of(data, [4, 11, 30, 31])
    found = {}
    for weight in (1e-12, 0.4):
        model, (stage, fitting) = lively("mona", data, recipe, order=order, outer_weight=weight)
        task = gradient(model, fitting.objective(model, batch)["loss"])
        found[weight] = gradient(model, stage.objective(model, batch)["loss"])
        close = torch.allclose(found[weight], task, rtol=1e-4, atol=1e-6)
        assert close == (weight < 0.1)


def test_both_orders_agree_for_small_steps_and_differ_for_large_ones(
    class_data: TaskData, recipe: Recipe, lively: Build
) -> None:
    batch = batch_of(class_data, [4, 11, 30, 31])
    apart = []
    for rate in (1e-3, 1.0):
        added = []
        for order in ORDERS:
            model, (stage, fitting) = lively(
                "mona", class_data, recipe, order=order, inner_rate=rate, outer_weight=0.1 / rate
            )
            task = gradient(model, fitting.objective(model, batch)["loss"])
            added.append(gradient(model, stage.objective(model, batch)["loss"]) - task)
        apart.append(((added[0] - added[1]).norm() / added[0].norm()).item())
    assert apart[0] < 1e-3 and apart[1] > 10 * apart[0]


def test_the_exact_gradient_is_that_of_the_measured_objective(
    class_data: TaskData, recipe: Recipe, lively: Build
) -> None:
    model, (stage, _) = lively("mona", class_data, recipe, order="exact", inner_rate=1.0)
    model.double()
    batch = batch_of(class_data, [4, 11, 30, 31])
    batch = replace(batch, inputs=batch.inputs.double())
    source_in_double(model)
    whole = gradient(model, stage.objective(model, batch)["loss"])
    direction = torch.randn(len(whole), generator=torch.Generator().manual_seed(0)).double()
    learning = [*model.embedder.parameters(), *model.head.parameters()]
    ends = []
    for move in (1e-5, -2e-5):
        with torch.no_grad():
            parts = direction.split([p.numel() for p in learning])
            for parameter, part in zip(learning, parts, strict=True):
                parameter += move * part.view_as(parameter)
        ends.append(stage.objective(model, batch)["loss"].item())
    assert (ends[0] - ends[1]) / 2e-5 == pytest.approx((whole @ direction).item(), rel=1e-6)


def source_in_double(model: Any) -> None:
    """The source's tokens are single, and so are brought to the encoder's precision."""
    model.encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))


@pytest.mark.parametrize("order", ORDERS)
def test_stage_one_leaves_the_encoder_and_trains_the_rest(
    order: str, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build("mona", dense_data, recipe, order=order, measure_bound=True)
    assert [stage.name for stage in stages] == ["alignment", "fitting"]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = fit(model, stages[:1], dense_data, recipe, Session(), seed=0)
    for key, value in model.state_dict().items():
        moved = not torch.equal(value, before[key])
        assert moved == key.startswith(("embedder.", "head.")), key
    assert not any(p.requires_grad for p in model.encoder.parameters())
    inner = [p.value for p in result.curves if p.name == "alignment/inner"]
    assert len(inner) == 2 and inner[1] < inner[0]
    assert {"alignment/before/w2", "alignment/after/w2"} <= result.measurements.keys()


def test_the_outer_loss_is_heeded(class_data: TaskData, recipe: Recipe, build: Build) -> None:
    """With more weight, a step on the target leaves the source better told apart."""
    after = {}
    for weight in (1e-6, 30.0):
        model, (stage, _) = build(
            "mona",
            class_data,
            recipe,
            order="exact",
            inner_rate=1.0,
            outer_weight=weight,
            alignment_steps=60,
            alignment_rate=1e-2,
        )
        result = fit(model, [stage], class_data, recipe, Session(), seed=0)
        after[weight] = [p.value for p in result.curves if p.name == "alignment/outer"][-1]
    assert after[30.0] < after[1e-6]


def test_to_the_first_order_a_sample_is_on_its_own(
    dense_data: TaskData, recipe: Recipe, lively: Build
) -> None:
    model, (stage, _) = lively("mona", dense_data, recipe, order="first", inner_rate=1.0)
    assert not stage.whole_batch  # what lets the loop cut batches
    whole = stage.objective(model, batch_of(dense_data, [3, 1, 40, 8]))["loss"]
    parts = [
        stage.objective(model, batch_of(dense_data, part))["loss"] for part in ([3, 1], [40, 8])
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_exact_step_is_that_of_all_workers_together(
    dense_data: TaskData, recipe: Recipe, lively: Build
) -> None:
    """Two workers, played in turn: gathering first notes a worker's part, then gives both."""
    model, (stage, _) = lively("mona", dense_data, recipe, order="exact", inner_rate=1.0)
    assert stage.classes is not None  # what keeps the loop from cutting batches
    whole = stage.objective(model, batch_of(dense_data, [3, 1, 40, 8]))
    parts = ([3, 40], [1, 8])
    noted: list[list[Tensor]] = []
    for part in parts:
        noted.append([])

        def note(x: Tensor) -> Tensor:
            noted[-1].append(x.detach())
            return x

        stage.objective(model, replace(batch_of(dense_data, part), gather=note))
    for part in parts:
        turn = iter(zip(*noted, strict=True))
        together = replace(
            batch_of(dense_data, part),
            gather=lambda x, turn=turn: torch.stack(next(turn), dim=1).flatten(0, 1),
        )
        found = stage.objective(model, together)
        for key, value in whole.items():
            torch.testing.assert_close(found[key], value)


@pytest.mark.parametrize("order", ORDERS)
def test_images_of_the_source_take_part(
    order: str, dense_data: TaskData, recipe: Recipe, cache: Path
) -> None:
    def plane(split: Split) -> Split:
        return Split(
            inputs=np.repeat(split.inputs[:16, :, None, :16], 16, axis=2),
            targets=np.repeat(split.targets[:16, :, None, :16], 16, axis=2),
        )

    splits = {name: plane(getattr(dense_data, name)) for name in ("train", "val", "test")}
    context = Context(
        data=replace(dense_data, fingerprint="plane", **splits),
        recipe=recipe,
        backbone=load_backbone("tiny-swin"),
        proxy="procedural-images",
        seed=0,
        device=torch.device("cpu"),
        cache=cache,
    )
    config = METHODS["mona"].Config(
        order=order,
        alignment_steps=2,
        alignment_batch=4,
        clusters=2,
        source=SourceConfig(samples=32),
        predictor={"plain_steps": 2, "bounded_steps": 0},
    )
    method = METHODS["mona"](config)
    model, stages = method.model(context), method.stages(context)
    result = fit(model, stages, context.data, recipe, Session(), seed=0)
    losses = [p.value for p in result.curves if p.name == "fitting/loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "option", [{"order": "second"}, {"inner_rate": 0.0}, {"outer_weight": -0.1}]
)
def test_bad_values_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["mona"].Config.model_validate(option)
