"""Token features of the target that start with the moments of the source's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.xmft.small_fields import field_data
from xmft.task import Recipe, TaskData
from xmft.training import assemble

# Fewer samples than are looked at, so that all of the training split are.
WAVES = field_data(2, (32,), count=45)
IMAGES = field_data(2, (16, 16), count=24)
SMALL = {"source": {"samples": 64, "tokens": 8}, "clusters": 3}


def started(
    data: TaskData, backbone: str, cache: Path, method: str = "shift", **options: Any
) -> tuple[Any, Any, np.ndarray]:
    """A method's model, the source's features and pooled features of the training split."""
    recipe = options.pop("recipe", Recipe(max_tokens=8))
    made = assemble(
        data, method, backbone=backbone, recipe=recipe, options={**SMALL, **options}, cache=cache
    )
    with torch.no_grad():
        tokens = made.model.embed(torch.from_numpy(np.asarray(data.train.inputs)))
    source = torch.load(next(cache.glob("source/features-*.pt")), weights_only=True)["pooled"]
    return made.model, source.double().numpy(), tokens.double().numpy().mean(axis=1)


def spread(features: np.ndarray) -> float:
    return float(np.sqrt(features.var(axis=0).sum()))


@pytest.mark.parametrize("amplitude", [False, True])
@pytest.mark.parametrize(
    "data, backbone", [(WAVES, "tiny-sequence"), (IMAGES, "tiny-sequence"), (IMAGES, "tiny-swin")]
)
def test_mean_and_spread_are_those_of_the_source(
    data: TaskData, backbone: str, amplitude: bool, tmp_path: Path
) -> None:
    recipe = Recipe(max_tokens=8, amplitude=amplitude)
    _, source, target = started(data, backbone, tmp_path, recipe=recipe)
    np.testing.assert_allclose(target.mean(axis=0), source.mean(axis=0), atol=2e-6)
    assert spread(target) == pytest.approx(spread(source), rel=1e-4)
    _, _, moved = started(data, backbone, tmp_path, recipe=recipe, start="mean")
    predictor = {"plain_steps": 4, "bounded_steps": 0}
    _, _, plain = started(data, backbone, tmp_path, "orca", recipe=recipe, predictor=predictor)
    np.testing.assert_allclose(moved.mean(axis=0), source.mean(axis=0), atol=2e-6)
    # The mean alone is a translation; the spread as well, one scale around it.
    np.testing.assert_allclose(moved - moved.mean(axis=0), plain - plain.mean(axis=0), atol=1e-5)
    ratio = spread(source) / spread(plain)
    np.testing.assert_allclose(
        target - target.mean(axis=0), ratio * (plain - plain.mean(axis=0)), atol=1e-5
    )


@pytest.mark.parametrize("method", ["orca", "recraft", "mona"])
def test_methods_that_align_can_start_there(method: str, tmp_path: Path) -> None:
    options = {"start": "moments", "predictor": {"plain_steps": 4, "bounded_steps": 0}}
    model, source, target = started(WAVES, "tiny-sequence", tmp_path, method, **options)
    np.testing.assert_allclose(target.mean(axis=0), source.mean(axis=0), atol=2e-6)
    other, _, _ = started(WAVES, "tiny-sequence", tmp_path)
    for key, value in other.embedder.state_dict().items():
        assert torch.equal(value, model.embedder.state_dict()[key]), key


def test_the_start_is_that_of_many_samples_and_the_same_each_time(tmp_path: Path) -> None:
    """Of a long split a part is looked at, in which classes have their shares."""
    x = np.random.default_rng(0).standard_normal((1500, 1, 16)).astype(np.float32)
    rare = np.arange(1500) % 50 == 0
    x[rare] += 30
    data = TaskData.from_arrays(
        "lab/rare", train=(x, rare.astype(np.int64)), test=(x[:60], rare[:60].astype(np.int64))
    )
    first, source, target = started(data, "tiny-sequence", tmp_path)
    second, *_ = started(data, "tiny-sequence", tmp_path)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    assert spread(target) == pytest.approx(spread(source), rel=0.1)


def test_it_is_computed_before_stage_one_and_then_moves(
    dense_data: TaskData, recipe: Recipe, train: Callable[..., Any]
) -> None:
    """The bound is measured at the start: the distance there is below that of the drawn one."""
    measured = {}
    for start in ("drawn", "moments"):
        short = recipe.model_copy(update={"epochs": 1})
        _, result = train("recraft", dense_data, short, start=start)
        measured[start] = result.measurements["alignment/before/w2"]
        assert result.measurements["alignment/after/w2"] != measured[start]
    assert measured["moments"] < 0.8 * measured["drawn"]


def test_constant_inputs_keep_their_spread_of_none(tmp_path: Path) -> None:
    still = replace(WAVES.train, inputs=np.ones_like(np.asarray(WAVES.train.inputs)))
    data = replace(WAVES, train=still, val=still, test=still, fingerprint="still")
    _, source, target = started(data, "tiny-sequence", tmp_path)
    np.testing.assert_allclose(
        target, np.broadcast_to(source.mean(axis=0), target.shape), atol=2e-6
    )


def test_where_tokens_cancel_there_is_no_spread_to_be_changed(tmp_path: Path) -> None:
    """Half-wave odd fields: in each a patch comes with its negative, and a token with its own."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((45, 1, 16)).astype(np.float32)
    x = np.concatenate([half, -half], axis=2)
    data = TaskData.from_arrays("lab/odd", train=(x, 2 * x), test=(x[:9], 2 * x[:9]))
    model, source, target = started(data, "tiny-sequence", tmp_path)
    plain, *_ = started(data, "tiny-sequence", tmp_path, start="mean")
    assert spread(target) < 1e-5 < spread(source)
    np.testing.assert_allclose(target.mean(axis=0), source.mean(axis=0), atol=2e-6)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key
