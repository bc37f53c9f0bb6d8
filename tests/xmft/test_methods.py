from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from xmft.fit import fit
from xmft.methods import METHODS
from xmft.methods.alignment_stage import AlignmentConfig
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]
WITH_BACKBONE = [name for name, method in METHODS.items() if method.uses_backbone]
ALIGNED = [name for name, method in METHODS.items() if issubclass(method.Config, AlignmentConfig)]
# What trains nothing has no use for epochs.
TRIVIAL = [name for name, method in METHODS.items() if "epochs" in method.ignores]
# What each method learns from, of the two toys.
LEARNING = [
    (name, f"{kind.removesuffix('ification')}_data")
    for name, method in METHODS.items()
    if name not in TRIVIAL
    for kind in method.kinds
]
PARTS = {
    "fno": {"operator"},
    "unet": {"operator"},
    "pare": {"embedder", "encoder", "head", "gate", "source_head"},
}


def curve(result: FitResult, name: str) -> list[float]:
    return [p.value for p in result.curves if (p.split, p.name) == ("train", name)]


@pytest.mark.parametrize("name", METHODS)
def test_entries_describe_themselves(name: str) -> None:
    method = METHODS[name]
    assert method.name == name and method.version >= 1
    assert method.title and method.title[0].islower() and "\n" not in method.title
    assert method.Config() == method.Config.model_validate(method.Config().model_dump())


@pytest.mark.parametrize("name", METHODS)
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="alignment_stepz"):
        METHODS[name].Config.model_validate({"alignment_stepz": 3})


@pytest.mark.parametrize(
    "name, options",
    [
        ("orca", {"alignment_steps": 0}),
        ("orca", {"alignment_steps": "60"}),
        ("orca", {"source": {"words": 3}}),
        ("recraft", {"distortion_weight": -1.0}),
        ("recraft", {"order": 3}),
        ("recraft", {"predictor": {"threshold": 0.0}}),
    ],
)
def test_bad_values_are_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS[name].Config.model_validate(options)


@pytest.mark.parametrize(("name", "kind"), LEARNING)
def test_every_method_learns(
    name: str, kind: str, recipe: Recipe, train: Train, request: pytest.FixtureRequest
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    # With the tiny encoder frozen there is little to learn with.
    rate = recipe.learning_rate * (10 if name == "fpt" else 1)
    longer = recipe.model_copy(update={"epochs": 8, "learning_rate": rate})
    _, result = train(name, data, longer)
    losses = curve(result, "fitting/loss")
    assert len(losses) == 8 and losses[-1] < 0.7 * losses[0]
    # Wrong in 2/3 of the cases, or in half of the labels, is a guess; nrmse of the training mean is
    # about the spread.
    main = data.task.metrics[0]
    test = [s.value for s in result.scores if (s.split, s.metric) == ("test", main)]
    truth = data.test.targets
    naive: float
    if data.task.kind == "dense":
        gap = (truth - data.train.targets.mean(axis=0)).reshape(len(truth), -1)
        norms = np.linalg.norm(truth.reshape(len(truth), -1), axis=1)
        naive = float((np.linalg.norm(gap, axis=1) / norms).mean())
    else:
        naive = {"classification": 200 / 3, "multilabel": 50.0}[data.task.kind]
    assert max(test) < naive


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TRIVIAL])
def test_target_fitting_comes_last_and_trains_everything(
    name: str, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build(name, dense_data, recipe)
    fitting = stages[-1]
    assert (fitting.name, fitting.epochs, fitting.validates) == ("fitting", 3, True)
    learning = {part.removesuffix(":norms") for part in fitting.trains}
    assert learning == {part for part, _ in model.named_children()}
    if name in PARTS:
        assert learning == PARTS[name]
    else:
        assert learning >= {"embedder", "encoder", "head"}
    assert fitting.learning_rate == recipe.learning_rate
    if name in ALIGNED:
        assert [stage.name for stage in stages[:-1]] == ["alignment"]
    elif not METHODS[name].uses_source:
        assert not [stage.name for stage in stages if stage.account == "align"]


@pytest.mark.parametrize("steps", [1, 7, 10, 12, 25, 60])
@pytest.mark.parametrize("name", ALIGNED)
def test_alignment_takes_the_steps_that_were_asked_for(
    name: str, steps: int, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    _, (alignment, _) = build(name, dense_data, recipe, alignment_steps=steps)
    taken = sum(len(alignment.batches(epoch)) for epoch in range(alignment.epochs))
    assert taken == steps


@pytest.mark.parametrize("name, twin", [("nft", "scratch"), ("recraft", "recraft-scratch")])
def test_a_twin_starts_from_other_weights(
    name: str, twin: str, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    pretrained, stages = build(name, dense_data, recipe)
    drawn, same = build(twin, dense_data, recipe)
    other, _ = build(twin, dense_data, recipe, seed=1)
    assert [(stage.name, stage.epochs) for stage in same] == [
        (stage.name, stage.epochs) for stage in stages
    ]
    for a, b in ((pretrained, drawn), (drawn, other)):
        for first, second in zip(a.encoder.parameters(), b.encoder.parameters(), strict=True):
            assert first.shape == second.shape
            assert first.ndim == 1 or not torch.equal(first, second)


def test_fpt_moves_the_norms_of_the_encoder_alone(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, stages = build("fpt", class_data, recipe)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    fit(model, stages, class_data, recipe, Session(), seed=0)
    for name, parameter in model.named_parameters():
        frozen = name.startswith("encoder") and "LayerNorm" not in name
        assert torch.equal(parameter, before[name]) == frozen, name
        assert (parameter.grad is None) or not frozen, name


@pytest.mark.parametrize(
    "name, options",
    [
        ("orca", {}),
        *((name, {"task_weight": 0.0}) for name in ALIGNED if name.startswith("recraft")),
        ("recraft", {"task_weight": 0.0, "distortion_weight": 0.0}),
    ],
)
def test_alignment_leaves_the_encoder_and_the_head(
    name: str,
    options: dict[str, float],
    class_data: TaskData,
    recipe: Recipe,
    build: Build,
) -> None:
    model, stages = build(name, class_data, recipe, **options)
    parts = (model.encoder, model.head)
    before = [value.clone() for part in parts for value in part.state_dict().values()]
    positions = model.embedder.positions.detach().clone()
    fit(model, stages[:1], class_data, recipe, Session(), seed=0)
    after = [value for part in parts for value in part.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.equal(model.embedder.positions, positions)


TERMS = {
    "w1",
    "w2",
    "w2_source",
    "distortion",
    "distortion_chance",
    "distortion_corrected",
    "source_given_target",
    "target_entropy",
    "source_entropy",
    "source_gradient_norm",
    "lipschitz_violations",
    "source_accuracy",
    "target_violations",
    "target_fit",
}


@pytest.mark.parametrize("kind", ["dense_data", "class_data"])
def test_recraft_measures_its_bound_before_and_after(
    kind: str, recipe: Recipe, train: Train, request: pytest.FixtureRequest
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train("recraft", data, short, alignment_steps=60, alignment_rate=1e-2)
    found = result.measurements
    assert found.keys() == {f"alignment/{w}/{t}" for w in ("before", "after") for t in TERMS}
    before, after = ({t: found[f"alignment/{w}/{t}"] for t in TERMS} for w in ("before", "after"))
    assert after["w2"] < 0.8 * before["w2"] and after["w1"] < before["w1"]
    losses = curve(result, "alignment/loss")
    assert losses[-1] < losses[0]
    for terms in (before, after):
        assert 0 < terms["w1"] <= terms["w2"] * (1 + 1e-6)  # Jensen
        assert -1e-5 <= terms["distortion"] <= terms["target_entropy"] + 1e-5
        assert 0 <= terms["source_entropy"] <= np.log(10) + 1e-5
        assert 0 <= terms["source_accuracy"] <= 1 and 0 <= terms["lipschitz_violations"] <= 1
    # H(Z') is that of the class shares; the three classes of the toy are equally large.
    if data.task.kind == "classification":
        assert before["target_entropy"] == pytest.approx(np.log(3), rel=1e-5)
    for term in ("target_entropy", "source_gradient_norm", "source_accuracy", "w2_source"):
        assert before[term] == after[term]


def test_recraft_lowers_the_distortion_when_it_weighs(
    class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    found = {}
    for weight in (0.0, 100.0):
        _, result = train(
            "recraft",
            class_data,
            short,
            alignment_steps=60,
            alignment_rate=1e-2,
            distortion_weight=weight,
        )
        found[weight] = result.measurements["alignment/after/distortion"]
        assert bool(curve(result, "alignment/distortion")) == (weight > 0)
    assert found[100.0] < found[0.0]


def test_recraft_can_align_in_the_first_order(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train("recraft", dense_data, short, order=1, alignment_rate=1e-2)
    found = result.measurements
    assert found["alignment/after/w1"] < found["alignment/before/w1"]


@pytest.mark.parametrize("name", ALIGNED)
def test_what_is_measured_keeps_nothing_for_frozen_weights(
    name: str, class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage, *_) = build(name, class_data, recipe, alignment_steps=1)
    learning: list[set[str]] = []

    def measure(model: Any) -> dict[str, float]:
        learning.append({n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad})
        return {}

    fit(model, [replace(stage, measure=measure)], class_data, recipe, Session(), seed=0)
    assert learning == [set(stage.trains)] * 2  # before and after


def test_orca_lowers_its_distance(class_data: TaskData, recipe: Recipe, train: Train) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train("orca", class_data, short, alignment_steps=60, alignment_rate=1e-2)
    losses = curve(result, "alignment/loss")
    assert len(losses) == 6 and losses[-1] < 0.8 * losses[0]
