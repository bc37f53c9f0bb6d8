from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.xmft.small_fields import field_data
from xmft.errors import DivergedError
from xmft.methods import METHODS
from xmft.methods.alignment_stage import AlignmentConfig
from xmft.parameter_groups import parameter_groups
from xmft.records import FitResult
from xmft.stages import Batch, Stage
from xmft.task import Recipe, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]

LOSSES: list[dict[str, Any]] = [
    {"distance": "otdd", "inner": "exact"},
    {"distance": "entropic-otdd"},
    {"distance": "mmd"},
    {"distance": "l2"},
]


def batch_of(data: TaskData, stage: Stage, indices: np.ndarray, step: int = 0) -> Batch:
    assert stage.classes is not None
    return Batch(
        inputs=torch.from_numpy(data.train.inputs[indices]),
        targets=torch.from_numpy(data.train.targets[indices]),
        classes=torch.from_numpy(stage.classes[indices]),
        indices=indices,
        step=step,
        steps=20,
        gather=lambda x: x,
    )


@pytest.mark.parametrize("options", LOSSES)
def test_every_distance_falls(
    options: dict[str, Any], class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    _, result = train("orca", class_data, short, alignment_steps=60, alignment_rate=1e-2, **options)
    losses = [p.value for p in result.curves if p.name == "alignment/loss"]
    assert len(losses) == 6 and losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("options", [{}, *LOSSES])
def test_a_class_alone_and_classes_that_are_missing(
    options: dict[str, Any], dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage, _) = build("orca", dense_data, recipe, **options)
    assert stage.classes is not None
    first, second = (np.flatnonzero(stage.classes == k) for k in (0, 1))
    for indices in (first[:1], np.concatenate([first[:3], second[:1]])):
        model.zero_grad()
        stage.objective(model, batch_of(dense_data, stage, indices))["loss"].backward()
        gradients = [p.grad for p in model.embedder.parameters() if p.grad is not None]
        assert gradients and all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("options", [{}, *LOSSES])
def test_the_order_of_a_batch_does_not_matter(
    options: dict[str, Any], class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage, _) = build("orca", class_data, recipe, **options)
    model.eval()
    values = [
        stage.objective(model, batch_of(class_data, stage, order, step=3))["loss"]
        for order in (np.arange(12), np.random.default_rng(0).permutation(12))
    ]
    torch.testing.assert_close(*values)


def test_mmd_draws_other_source_samples_in_each_step(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage, _) = build("orca", class_data, recipe, distance="mmd")
    model.eval()
    values = [
        stage.objective(model, batch_of(class_data, stage, np.arange(12), step))["loss"].item()
        for step in (0, 1, 0)
    ]
    assert values[0] == values[2] != values[1]


def test_released_visits_every_class_in_every_step(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    _, (stage, _) = build("orca:released", class_data, recipe, alignment_steps=60)
    assert stage.classes is not None
    batches = [batch for epoch in range(stage.epochs) for batch in stage.batches(epoch)]
    assert len(batches) == 60
    assert all(np.bincount(stage.classes[b]).tolist() == [4, 4, 4] for b in batches)
    assert stage.schedule is not None
    assert [stage.schedule(60)(s) for s in (0, 19, 20, 40)] == pytest.approx([1, 1, 0.2, 0.04])


def test_released_takes_the_class_samples_that_the_public_code_draws() -> None:
    """It draws batches of 4 sequences until there are more than 128 of the class."""
    drawn = 0
    while drawn <= 128:
        drawn += 4
    assert METHODS["orca"].presets["released"]["per_class"] == drawn


@pytest.mark.parametrize("name", ["orca:released", "recraft:released"])
def test_released_that_diverges_says_so(
    name: str, class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage, *_) = build(name, class_data, recipe)
    with torch.no_grad():
        next(model.embedder.parameters()).fill_(torch.nan)
    with pytest.raises(DivergedError, match="learning rate of the alignment stage"):
        stage.objective(model, batch_of(class_data, stage, np.arange(12)))


@pytest.mark.parametrize(("rate", "found"), [(1e-4, 1e-3), (1e-3, 1e-2), (2e-3, 2e-3), (0.1, 0.1)])
def test_the_published_rule_of_the_rate(rate: float, found: float) -> None:
    config = AlignmentConfig(alignment_rate=None)
    assert config.embedder_rate(Recipe(learning_rate=rate)) == pytest.approx(found)
    assert AlignmentConfig(alignment_rate=0.5).embedder_rate(Recipe(learning_rate=rate)) == 0.5
    for name, preset in (("orca", "released"), ("recraft", "released"), ("recraft", "paper")):
        assert METHODS[name].presets[preset]["alignment_rate"] is None


@pytest.mark.parametrize(
    ("rate", "found"), [(1e-4, 1e-3), (1e-3, 1e-2), (2e-3, 1e-2), (1e-2, 1e-2), (0.1, 0.1)]
)
def test_the_rate_of_small_patches(rate: float, found: float) -> None:
    assert AlignmentConfig().embedder_rate(Recipe(learning_rate=rate)) == pytest.approx(found)


@pytest.mark.parametrize(
    ("channels", "grid", "tokens", "overlap", "numbers"),
    [
        (1, (32,), 8, 0.0, 4),
        (3, (256,), 8, 0.0, 96),
        (3, (256,), 8, 0.5, 192),
        (1, (32, 32), 16, 0.0, 64),
        (2, (32, 32), 4, 0.0, 512),
    ],
)
def test_the_rate_of_stage_1_falls_with_the_root_of_the_size_of_a_patch(
    channels: int, grid: tuple[int, ...], tokens: int, overlap: float, numbers: int, build: Build
) -> None:
    data = field_data(channels, grid)
    recipe = Recipe(learning_rate=1e-3, max_tokens=tokens, overlap=overlap)
    for method in ("orca", "recraft", "mona"):
        model, (stage, fitting) = build(method, data, recipe, alignment_rate="patches")
        assert model.embedder.values == numbers
        for parameter in model.parameters():
            parameter.requires_grad_(True)
        (rate,) = {group["lr"] for group in parameter_groups(model, stage, recipe)}
        assert rate == pytest.approx(1e-2 * min(1, (64 / numbers) ** 0.5))
        assert {group["lr"] for group in parameter_groups(model, fitting, recipe)} == {1e-3}
        # What is said is meant.
        said, (stage, _) = build(method, data, recipe, alignment_rate=3e-3)
        rates = {group["lr"] for group in parameter_groups(said, stage, recipe)}
        assert rates == {3e-3}
