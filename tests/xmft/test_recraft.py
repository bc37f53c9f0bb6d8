from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from xmft.errors import RequestError
from xmft.fit import fit
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]


def curve(result: FitResult, name: str) -> list[float]:
    return [p.value for p in result.curves if (p.split, p.name) == ("train", name)]


def snapshot(module: torch.nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in module.state_dict().values()]


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_without_distortion_no_source_predictor_is_trained(
    class_data: TaskData, recipe: Recipe, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("trained")

    monkeypatch.setattr("xmft.source.artefacts.Source.predictor", refuse)
    _, stages = build("recraft", class_data, recipe, distortion_weight=0.0, measure_bound=False)
    assert [stage.name for stage in stages] == ["alignment", "fitting"]
    with pytest.raises(AssertionError, match="trained"):
        build("recraft", class_data, recipe, distortion_weight=0.1, measure_bound=False)


@pytest.mark.parametrize("preset", ["recraft:paper", "recraft:released"])
def test_the_task_is_no_part_of_a_published_stage_one(
    preset: str, class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build(preset, class_data, recipe)
    head = snapshot(model.head)
    fit(model, stages[:-1], class_data, recipe, Session(), seed=0)
    assert same(snapshot(model.head), head)


def test_paper_is_one_joint_stage_and_leaves_the_embedder_in_fitting(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build("recraft:paper", class_data, recipe)
    assert [stage.name for stage in stages] == ["alignment", "fitting"]
    fit(model, stages[:1], class_data, recipe, Session(), seed=0)
    embedder, encoder = snapshot(model.embedder), snapshot(model.encoder)
    fit(model, stages[1:], class_data, recipe, Session(), seed=0)
    assert same(snapshot(model.embedder), embedder)
    assert not same(snapshot(model.encoder), encoder)


def test_released_aligns_without_classes_and_then_lowers_the_distortion_class_by_class(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build("recraft:released", class_data, recipe, alignment_steps=60)
    assert [stage.name for stage in stages] == ["alignment", "distortion", "fitting"]
    alignment, distortion, fitting = stages
    batches = [batch for epoch in range(alignment.epochs) for batch in alignment.batches(epoch)]
    assert [len(batch) for batch in batches] == [12] * 60
    shares = np.array([np.bincount(class_data.train.targets[b], minlength=3) for b in batches])
    assert (shares != 4).any(), "drawn without regard to classes"
    assert all(len(set(class_data.train.targets[b])) == 1 for b in distortion.batches(0))
    assert alignment.learning_rate == recipe.learning_rate  # above 1e-3 it is not raised
    assert distortion.learning_rate == 1e-4
    assert distortion.schedule is not None and distortion.schedule(10)(9) == 1
    assert set(fitting.trains) == {"embedder", "encoder", "head"}

    head, encoder = snapshot(model.source_head), snapshot(model.encoder)
    result = fit(model, stages[:1], class_data, recipe, Session(), seed=0)
    assert same(snapshot(model.source_head), head)
    losses = curve(result, "alignment/loss")
    assert losses[-1] < losses[0]
    embedder = snapshot(model.embedder)
    fit(model, stages[1:2], class_data, recipe, Session(), seed=0)
    assert not same(snapshot(model.source_head), head)
    assert not same(snapshot(model.embedder), embedder)
    assert same(snapshot(model.encoder), encoder)


def test_released_starts_from_the_source_predictor_and_the_weights_of_the_default(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    released, _ = build("recraft:released", class_data, recipe)
    plain, _ = build("recraft", class_data, recipe)
    for part in ("embedder", "encoder", "head"):
        assert same(snapshot(released.get_submodule(part)), snapshot(plain.get_submodule(part)))
    assert not hasattr(plain, "source_head")


def test_workers_that_cannot_share_a_later_stage_are_refused_before_the_first(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    """Three workers can share 12 samples of alignment, but not 28 of distortion."""
    model, stages = build("recraft:released", class_data, recipe, label_batch=28)
    embedder = snapshot(model.embedder)
    session = Session()
    session.world_size = 3
    with pytest.raises(RequestError, match=r"28 samples in stage 'distortion'.*label_batch"):
        fit(model, stages, class_data, recipe, session, seed=0)
    assert same(snapshot(model.embedder), embedder)


def test_the_released_distortion_falls(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train("recraft:released", class_data, short, label_epochs=6, label_rate=1e-2)
    losses = curve(result, "distortion/loss")
    assert len(losses) == 6 and losses[-1] < 0.7 * losses[0]
    found = result.measurements
    assert {key.rpartition("/")[0] for key in found} == {
        f"{stage}/{when}" for stage in ("alignment", "distortion") for when in ("before", "after")
    }
    before, after = found["distortion/before/w2"], found["alignment/after/w2"]
    assert before == after
    assert (
        found["distortion/after/source_given_target"]
        != found["distortion/before/source_given_target"]
    )


@pytest.mark.parametrize("distortion", ["conditional", "source_given_target"])
@pytest.mark.parametrize("divergence", ["wasserstein", "sinkhorn"])
def test_parts_combine_in_a_joint_loss(
    distortion: str, divergence: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train(
        "recraft",
        dense_data,
        short,
        alignment_rate=1e-2,
        distortion=distortion,
        divergence=divergence,
        distortion_weight=0.5,
        task_weight=0.0,
    )
    loss, first, second = (
        np.array(curve(result, f"alignment/{name}")) for name in ("loss", "distance", "distortion")
    )
    np.testing.assert_allclose(loss, first + 0.5 * second, rtol=1e-5)
    assert result.measurements["alignment/after/w2"] < result.measurements["alignment/before/w2"]


@pytest.mark.parametrize("distortion_weight", [0.0, 0.5])
def test_the_task_joins_stage_one_and_its_head_learns_along(
    distortion_weight: float, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    weights = {"distortion_weight": distortion_weight, "task_weight": 2.0}
    options = {"alignment_steps": 1, "measure_bound": False, **weights}
    model, stages = build("recraft", dense_data, recipe, **options)
    rows = stages[0].batches(0)[0]
    with torch.no_grad():
        guess = model(torch.from_numpy(dense_data.train.inputs[rows])).numpy()
    targets = dense_data.train.targets[rows]
    sizes = [np.sqrt(np.square(x).sum(axis=(1, 2))) for x in (guess - targets, targets)]
    head, encoder = snapshot(model.head), snapshot(model.encoder)
    result = fit(model, stages[:1], dense_data, recipe, Session(), seed=0)
    found = {name: curve(result, f"alignment/{name}") for name in ("loss", "distance", "task")}
    assert found["task"] == pytest.approx([np.mean(sizes[0] / sizes[1])], rel=1e-4)
    total = found["distance"][0] + 2.0 * found["task"][0]
    if distortion_weight > 0:
        total += distortion_weight * curve(result, "alignment/distortion")[0]
    assert found["loss"] == pytest.approx([total], rel=1e-5)
    assert not same(snapshot(model.head), head)
    assert same(snapshot(model.encoder), encoder)
