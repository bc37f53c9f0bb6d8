"""Models behind a canonical form, which commute with the symmetries of an equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from tests.xmft.test_canonical_form import (
    POINTS,
    VELOCITY,
    behind,
    fields,
    motions,
    smoothed,
)
from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from xmft.errors import RequestError
from xmft.methods import Context, Method, fitting_stage
from xmft.model import OperatorModel
from xmft.motions import moved
from xmft.records import FitResult
from xmft.stages import Stage
from xmft.symmetries import Symmetries
from xmft.task import Recipe, TaskData
from xmft.training import assemble

Train = Callable[..., tuple[Any, FitResult]]


@pytest.fixture(scope="module")
def wind() -> TaskData:
    """Velocities that are carried by their mean and fall off; the crest is squared on the way."""

    def arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        x = fields(1, (POINTS,), count, seed) - 4
        steps = np.rint(x.mean(axis=2) / 2.0 * POINTS).astype(int)[:, 0]
        slow = steps[:, None, None] / POINTS * 2.0
        rest = x - slow
        rest = np.sign(rest) * np.square(rest)
        y = (
            np.stack(
                [np.roll(field, step, axis=1) for field, step in zip(rest, steps, strict=True)]
            )
            + slow
        )
        return x.astype(np.float32), y.astype(np.float32)

    data = TaskData.from_arrays(
        "toy/wind", train=arrays(90, 3), val=arrays(20, 4), test=arrays(20, 5)
    )
    return replace(data, task=replace(data.task, symmetries=VELOCITY))


def seen_by_hand(data: TaskData, split: str) -> tuple[np.ndarray, np.ndarray, list[Any]]:
    """Inputs and targets of a split in their form, `[n, points]`, and what was done, by numpy."""
    inputs, targets, done = [], [], []
    part = data.splits[split]
    for x, y in zip(part.inputs[:, 0].astype(float), part.targets[:, 0].astype(float), strict=True):
        smooth = smoothed(x, (0,))
        crest, trough = smooth.argmax(), smooth.argmin()
        lean = smooth.max() + smooth.min()
        lean += behind(smooth, (crest,), 0, (0,)) - behind(smooth, (trough,), 0, (0,))
        turned = lean < 0
        if turned:
            x, y, crest = -x[::-1], -y[::-1], POINTS - 1 - trough
        shift, drift = POINTS // 2 - crest, -round(x.mean() / 2.0 * POINTS)
        inputs.append(np.roll(x, shift) + drift / POINTS * 2.0)
        targets.append(np.roll(y, shift + drift) + drift / POINTS * 2.0)
        done.append((turned, shift, drift))
    return np.array(inputs), np.array(targets), done


def test_ridge_learns_in_the_form_and_answers_outside(wind: TaskData, train: Train) -> None:
    model, result = train("ridge", wind, Recipe(canonical=True))
    x, y, _ = seen_by_hand(wind, "train")
    asked, _, done = seen_by_hand(wind, "test")
    mean, spread = x.mean(), x.std()
    about = y.mean(axis=0)
    scale = np.sqrt(np.square(y - about).mean())
    ridge = Ridge(alpha=model.regression.penalty).fit((x - mean) / spread, (y - about) / scale)
    guess = ridge.predict((asked - mean) / spread) * scale + about
    expected = []
    for field, (turned, shift, drift) in zip(guess, done, strict=True):
        field = np.roll(field - drift / POINTS * 2.0, -shift - drift)
        expected.append(-field[::-1] if turned else field)
    found = model(torch.from_numpy(wind.test.inputs)).numpy()[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    (score,) = (
        s.value
        for s in result.scores
        if (s.split, s.selection, s.metric) == ("test", "last", "nrmse")
    )
    targets = wind.test.targets[:, 0]
    error = np.linalg.norm(expected - targets, axis=1) / np.linalg.norm(targets, axis=1)
    assert score == pytest.approx(error.mean(), rel=1e-3)
    # The carried part is most of it.
    _, plain = train("ridge", wind, Recipe())
    assert score < 0.7 * next(
        s.value for s in plain.scores if (s.split, s.metric) == ("test", "nrmse")
    )


METHODS = ("nft", "recraft", "pare", "mona", "fno", "unet", "kernel", "knn")
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "corrected": {"refine": True},
    "residual": {"residual": True},
    "on a base": {"base": "ridge"},
    "on a base that it reads": {"base": "kernel", "base_seen": True},
}


@pytest.mark.parametrize(
    "method, change", [(m, "plain") for m in METHODS] + [("nft", change) for change in CHANGES]
)
def test_a_trained_model_commutes_with_the_symmetries(
    method: str, change: str, wind: TaskData, recipe: Recipe, train: Train
) -> None:
    changes = {"canonical": True, "epochs": 1, **CHANGES[change]}
    model, _ = train(method, wind, recipe.model_copy(update=changes))
    model.eval()
    x = torch.from_numpy(wind.test.inputs)
    with torch.no_grad():
        y = model(x)
        before, after = moved(VELOCITY, x, y, motions(VELOCITY, (POINTS,), len(x)))
        again = model(before)
    torch.testing.assert_close(again, after, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(after, y, atol=0.1)


@pytest.mark.parametrize("method, dies_after", [("nft", 2), ("recraft", 3), ("fno", 2)])
def test_an_interrupted_run_ends_as_if_nothing_had_happened(
    method: str, dies_after: int, wind: TaskData, recipe: Recipe, train: Train
) -> None:
    recipe = recipe.model_copy(update={"canonical": True, "augment": "symmetries"})
    model, result = train(method, wind, recipe)
    keeper = Keeper(dies_after=dies_after)
    with pytest.raises(Interrupted):
        train(method, wind, recipe, session=keeper)
    resumed_model, resumed = train(method, wind, recipe, session=keeper)
    assert (resumed.scores, resumed.curves) == (result.scores, result.curves)
    assert_same(snapshot(resumed_model), snapshot(model))


def test_classes_are_those_of_the_form(wind: TaskData, recipe: Recipe, monkeypatch: Any) -> None:
    """And kept apart from those of the fields as they are."""
    from xmft.methods import method

    clustered: list[np.ndarray] = []

    def listen(targets: Any, *, clusters: int) -> np.ndarray:
        clustered.append(np.asarray(targets[np.arange(len(targets))]))
        return np.arange(len(targets)) % clusters

    monkeypatch.setattr(method, "pseudo_labels", listen)
    for canonical in (False, True, True):
        assemble(
            wind,
            "recraft",
            backbone="tiny-sequence",
            recipe=recipe.model_copy(update={"canonical": canonical}),
            options={"measure_bound": False, "source": {"samples": 64, "tokens": 8}},
        )
    assert len(clustered) == 2
    np.testing.assert_array_equal(clustered[0], wind.train.targets)
    np.testing.assert_allclose(clustered[1][:, 0], seen_by_hand(wind, "train")[1], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"symmetries": None},
        {"symmetries": Symmetries(mirrored=(0,))},
        {"loss": "binary_cross_entropy"},
    ],
)
def test_what_cannot_be_moved_is_seen_as_it_is(
    changes: dict[str, Any], wind: TaskData, recipe: Recipe
) -> None:
    data = replace(wind, task=replace(wind.task, **changes))
    for method in ("kernel", "knn", "unet"):
        plain, made = (
            assemble(data, method, recipe=recipe.model_copy(update={"canonical": wanted}))
            for wanted in (False, True)
        )
        assert made.recipe == plain.recipe
        assert_same(snapshot(made.model), snapshot(plain.model))


def test_targets_with_weights_are_seen_as_they_are(wind: TaskData) -> None:
    weights = np.ones_like(wind.train.targets)
    task = replace(wind.task, metrics=("nrmse",))
    data = replace(wind, train=replace(wind.train, weights=weights), task=task)
    made = assemble(data, "ridge", recipe=Recipe(canonical=True))
    assert made.model.scaled.canonical is None


@pytest.mark.parametrize("method", ["nft", "kernel"])
def test_operations_are_known_with_it(method: str, wind: TaskData, recipe: Recipe) -> None:
    counts = [
        assemble(
            wind,
            method,
            backbone="tiny-sequence",
            recipe=recipe.model_copy(update={"canonical": wanted, "epochs": 1}),
        )
        .fit()
        .flops
        for wanted in (False, True)
    ]
    plain, made = counts
    # Transforms of the inputs come on top.
    assert plain is not None and made is not None and plain < made < 1.5 * plain


class Apart(Method):
    """Puts its model's parts together itself, and leaves out the inputs."""

    name = "apart"
    version = 1
    title = "leaves the form out"
    uses_backbone = False
    kinds = ("dense",)

    def model(self, context: Context) -> torch.nn.Module:
        return OperatorModel(torch.nn.Conv1d(1, 1, 1), context.data, context.recipe)

    def stages(self, context: Context) -> list[Stage]:
        def objective(model: Any, batch: Any) -> dict[str, Tensor]:
            guess = model.physical(model.operator(model.seen(batch.inputs)), batch.base)
            return {"loss": (guess - batch.targets).square().mean()}

        return [replace(fitting_stage(context, trains=("operator",)), objective=objective)]


def test_a_method_that_leaves_the_form_out_is_told(wind: TaskData) -> None:
    with pytest.raises(RequestError, match=r"physical\(output, batch\.base, batch\.inputs\)"):
        assemble(wind, Apart, recipe=Recipe(canonical=True, epochs=1)).fit()
    assemble(wind, Apart, recipe=Recipe(epochs=1)).fit()


class Deaf(Apart):
    """Builds its model without the recipe, and so without the form."""

    name = "deaf-to-forms"

    def model(self, context: Context) -> torch.nn.Module:
        return OperatorModel(torch.nn.Conv1d(1, 1, 1), context.data)


def test_a_model_that_sees_samples_as_they_are_is_refused(wind: TaskData) -> None:
    with pytest.raises(RequestError, match="'deaf-to-forms' builds a model that sees samples as"):
        assemble(wind, Deaf, recipe=Recipe(canonical=True))
    assemble(wind, Deaf, recipe=Recipe())
