"""Samples in their canonical form: models that commute with the symmetries of an equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from tests.xmft.test_resuming import Interrupted, Keeper, assert_same, snapshot
from xmft.canonical import Canonical
from xmft.errors import RequestError
from xmft.methods import Context, Method, fitting_stage
from xmft.model import OperatorModel
from xmft.motions import Motion, moved
from xmft.records import FitResult
from xmft.stages import Stage
from xmft.symmetries import Galilean, Symmetries
from xmft.task import Recipe, TaskData
from xmft.training import assemble

Train = Callable[..., tuple[Any, FitResult]]
POINTS = 32
VELOCITY = Symmetries(
    periodic=(0,),
    mirrored=(0,),
    inputs=(0,),
    targets=(0,),
    galilean=Galilean(crossing=2.0, most=1.0),
)
GAS = replace(
    VELOCITY,
    inputs=(None, 0),
    targets=(None, 0),
    galilean=Galilean(crossing=2.0, most=1.0, density=0),
)
PLANE = Symmetries(
    periodic=(0, 1),
    mirrored=(0, 1),
    inputs=(None, 0, 1),
    targets=(None, 0, 1),
    galilean=Galilean(crossing=1.0, most=1.0),
)
KNOWN = {
    "scalar": (Symmetries(periodic=(0,)), 1, (POINTS,)),
    "mirrored scalar": (Symmetries(periodic=(0,), mirrored=(0,)), 2, (POINTS,)),
    "velocity": (VELOCITY, 1, (POINTS,)),
    "gas": (GAS, 2, (POINTS,)),
    "plane": (PLANE, 3, (12, 10)),
    "one axis of two": (Symmetries(periodic=(1,), mirrored=(0, 1)), 1, (12, 10)),
}


def fields(channels: int, grid: tuple[int, ...], count: int = 24, seed: int = 0) -> np.ndarray:
    """Smooth fields `[n, channels, *grid]` of several waves, above 0, the later ones faster."""
    rng = np.random.default_rng(seed)
    x = np.stack(np.meshgrid(*(np.arange(n) / n for n in grid), indexing="ij"))
    total = 4 + np.linspace(-1, 1, count).reshape(-1, *[1] * (1 + len(grid)))
    total = np.broadcast_to(total, (count, channels, *grid)).copy()
    # Along each axis for itself, so that none is its own mirror image, and across.
    waves = [k * row for k in (1, 2, 3) for row in np.eye(len(grid), dtype=int)]
    waves += list(rng.integers(-3, 4, (3, len(grid))))
    for k in waves:
        phase = rng.uniform(0, 2 * np.pi, (count, channels, *[1] * len(grid)))
        size = rng.uniform(0.1, 0.4, phase.shape)
        total += size * np.sin(2 * np.pi * np.tensordot(k, x, 1) + phase)
    return total


def motions(symmetries: Symmetries, grid: tuple[int, ...], count: int) -> Motion:
    rng = np.random.default_rng(1)
    allowed = [axis in symmetries.periodic for axis in range(len(grid))]
    turned = [axis in symmetries.mirrored and allowed[axis] for axis in range(len(grid))]
    frames = symmetries.galilean is not None
    shift = rng.integers(0, grid[-1], (count, len(grid))) * allowed
    drift = rng.integers(-9, 10, (count, len(grid))) * allowed * frames
    mirrored = rng.integers(0, 2, (count, len(grid))).astype(bool) & turned
    return Motion(
        exchanged=torch.zeros(count, dtype=torch.bool),
        mirrored=torch.from_numpy(mirrored),
        shift=torch.from_numpy(shift),
        drift=torch.from_numpy(drift),
    )


@pytest.mark.parametrize("name", KNOWN)
def test_any_map_behind_it_commutes_with_the_symmetries(name: str) -> None:
    symmetries, channels, grid = KNOWN[name]
    form = Canonical(symmetries)
    x = torch.from_numpy(fields(channels, grid))
    places = torch.from_numpy(fields(channels, grid, 1, seed=2))

    def model(inputs: Tensor) -> Tensor:
        motion = form.motion(inputs)
        # Knows places, sides and sizes, as networks do.
        return form.back((form.inputs(inputs, motion) - 3.7).square() * places, motion)

    chosen = motions(symmetries, grid, len(x))
    before, after = moved(symmetries, x, model(x), chosen)
    assert not torch.equal(before, x)
    torch.testing.assert_close(model(before), after, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", KNOWN)
def test_the_form_is_the_one_that_is_said(name: str) -> None:
    symmetries, channels, grid = KNOWN[name]
    form, x = Canonical(symmetries), torch.from_numpy(fields(channels, grid))
    motion = form.motion(x)
    seen = form.inputs(x, motion).numpy()
    for axis, points in enumerate(grid):
        profile = seen[:, 0].mean(axis=tuple({1, 2} - {1 + axis})[: len(grid) - 1])
        waves = np.fft.rfft(profile)[:, 1:]
        smooth = np.fft.irfft(
            np.pad(waves * 0.5 ** np.arange(1, waves.shape[1] + 1), ((0, 0), (1, 0))), n=points
        )
        if axis not in symmetries.periodic:
            assert not motion.shift[:, axis].any() and not motion.mirrored[:, axis].any()
            continue
        assert (smooth.argmax(axis=1) == points // 2).all()
        if axis in symmetries.mirrored:
            if symmetries.inputs[:1] == (axis,):
                assert (smooth.max(axis=1) >= -smooth.min(axis=1)).all()
            else:
                behind = np.sin(2 * np.pi * (np.arange(points) - points // 2) / points)
                assert (smooth @ behind > -1e-9).all()
        if symmetries.galilean is None:
            continue
        weight = seen[:, 0] if symmetries.galilean.density == 0 else np.ones_like(seen[:, 0])
        speed = seen[:, symmetries.inputs.index(axis)]
        mean = (weight * speed).reshape(len(x), -1).sum(1) / weight.reshape(len(x), -1).sum(1)
        assert (np.abs(mean) <= 0.5001 * symmetries.galilean.crossing / points).all()
    # Nothing is lost, and what is done to a sample is its own affair.
    torch.testing.assert_close(form.back(form.targets(x, motion), motion), x, rtol=0, atol=1e-12)
    one = form.motion(x[5:6])
    assert torch.equal(one.shift[0], motion.shift[5]) and torch.equal(one.drift[0], motion.drift[5])


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
        factor = 0.5 ** np.arange(POINTS // 2 + 1) * (np.arange(POINTS // 2 + 1) > 0)
        smooth = np.fft.irfft(np.fft.rfft(x) * factor)
        turned = smooth.max() < -smooth.min()
        if turned:
            x, y, smooth = -x[::-1], -y[::-1], -smooth[::-1]
        shift, drift = POINTS // 2 - smooth.argmax(), -round(x.mean() / 2.0 * POINTS)
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


@pytest.mark.parametrize("symmetries", [None, Symmetries(mirrored=(0, 1), exchanged=True)])
def test_what_cannot_be_moved_is_refused(
    symmetries: Symmetries | None, dense_data: TaskData
) -> None:
    data = replace(dense_data, task=replace(dense_data.task, symmetries=symmetries))
    with pytest.raises(RequestError, match="canonical=true: the samples of 'toy/dense' cannot be"):
        assemble(data, "nft", backbone="tiny-sequence", recipe=Recipe(canonical=True))


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
