"""Moved samples: which batch, which worker and how many of them change nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xmft.augmentation import augmented
from xmft.errors import RequestError
from xmft.motions import Motion, moved
from xmft.records import FitResult
from xmft.samples import Draw, Samples
from xmft.symmetries import Galilean, Symmetries
from xmft.task import Recipe, TaskData
from xmft.training import assemble

SQUARE = Symmetries(
    periodic=(0, 1),
    mirrored=(0, 1),
    exchanged=True,
    inputs=(1, None, 0),
    targets=(0, 1),
    galilean=Galilean(crossing=3.0, most=1.0),
)
MOVING = Recipe(augment="galilean")
CPU = torch.device("cpu")


def square(symmetries: Symmetries | None, *, points: int = 6) -> TaskData:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((20, c, points, points)).astype(np.float32) for c in (3, 2))
    data = TaskData.from_arrays("toy/square", train=(x, y), test=(x, y), val=(x, y))
    return replace(data, task=replace(data.task, symmetries=symmetries))


def by_hand(field: np.ndarray, components: Any, of: dict[str, Any], *, later: bool) -> np.ndarray:
    """One sample, moved in steps."""
    velocity = [drift / 6 * 3.0 for drift in of["drift"]]
    channels = list(field)
    if of["exchanged"]:
        channels = [channel.T for channel in channels]
        # The component along the first axis becomes that along the second, and the reverse.
        order = {components.index(0): components.index(1), components.index(1): components.index(0)}
        channels = [channels[order.get(c, c)] for c in range(len(channels))]
    out = []
    for channel, component in zip(channels, components, strict=True):
        for axis in (0, 1):
            if of["mirrored"][axis]:
                channel = np.flip(channel, axis)
                channel = -channel if component == axis else channel
        for axis in (0, 1):
            channel = np.roll(channel, of["shift"][axis] + later * of["drift"][axis], axis)
        out.append(channel + (0 if component is None else velocity[component]))
    return np.stack(out)


def test_samples_are_moved_as_by_hand() -> None:
    rng = np.random.default_rng(1)
    count = 32
    x, y = rng.standard_normal((count, 3, 6, 6)), rng.standard_normal((count, 2, 6, 6))
    parts = {
        "exchanged": rng.integers(0, 2, count).astype(bool),
        "mirrored": rng.integers(0, 2, (count, 2)).astype(bool),
        "shift": rng.integers(0, 6, (count, 2)),
        "drift": rng.integers(-2, 3, (count, 2)),
    }
    motion = Motion(**{name: torch.from_numpy(part) for name, part in parts.items()})
    before, after = moved(SQUARE, torch.from_numpy(x), torch.from_numpy(y), motion)
    for i in range(count):
        of = {name: part[i] for name, part in parts.items()}
        expected = by_hand(x[i], SQUARE.inputs, of, later=False)
        np.testing.assert_allclose(before[i], expected, atol=1e-12)
        expected = by_hand(y[i], SQUARE.targets, of, later=True)
        np.testing.assert_allclose(after[i], expected, atol=1e-12)


def taken(data: TaskData, rows: list[int], epoch: int, *, fitting: bool = True) -> list[Tensor]:
    samples = Samples(data.train, CPU, augment=data.augment)
    draw = Draw(seed=0, stage="fitting", epoch=epoch, fitting=fitting)
    decoded = samples.take(np.array(rows), draw)
    return [decoded.inputs, decoded.targets]


def test_a_sample_is_moved_by_seed_epoch_and_row_alone() -> None:
    data = augmented(square(SQUARE), MOVING)
    whole = taken(data, [0, 3, 5, 7], 2)
    for place, row in enumerate([0, 3, 5, 7]):
        for part, alone in zip(whole, taken(data, [row], 2), strict=True):
            assert torch.equal(part[place : place + 1], alone)
    assert not torch.equal(whole[0], taken(data, [0, 3, 5, 7], 3)[0])
    # Nothing before fitting, whose classes are those of the targets as they are.
    still = taken(data, [0, 3, 5, 7], 2, fitting=False)
    stored = taken(square(None), [0, 3, 5, 7], 2)
    assert all(torch.equal(a, b) for a, b in zip(still, stored, strict=True))


def test_all_motions_come_about() -> None:
    x = np.zeros((20, 1, 4, 4), np.float32)
    x[:, :, 0, 1] = 1
    data = TaskData.from_arrays("toy/point", train=(x, x), test=(x, x), val=(x, x))
    turns = Symmetries(mirrored=(0, 1), exchanged=True)
    data = augmented(
        replace(data, task=replace(data.task, symmetries=turns)), Recipe(augment="symmetries")
    )
    seen = {
        tuple(torch.nonzero(sample[0])[0].tolist())
        for epoch in range(10)
        for sample in taken(data, list(range(20)), epoch)[0]
    }
    # The eight places of one point under the symmetries of the square.
    assert seen == {(a, b) for a in range(4) for b in range(4) if (a in (0, 3)) != (b in (0, 3))}


def test_an_augmentation_of_the_task_comes_first() -> None:
    def doubled(decoded: Any, draws: Any) -> Any:
        return decoded._replace(inputs=decoded.inputs * 2)

    plain = augmented(square(SQUARE), MOVING)
    both = augmented(replace(square(replace(SQUARE, inputs=())), augment=doubled), MOVING)
    (alone, _), (after, _) = taken(plain, [1, 2], 0), taken(both, [1, 2], 0)
    # The one channel that is no component of a vector.
    assert torch.equal(after[:, 1], 2 * alone[:, 1])


def test_scores_and_the_model_know_nothing_of_it(dense_data: TaskData) -> None:
    symmetric = replace(dense_data.task, symmetries=Symmetries(periodic=(0,)))
    data, recipe = replace(dense_data, task=symmetric), Recipe(augment="symmetries", max_tokens=8)
    plain = assemble(data, "nft", backbone="tiny-sequence", recipe=Recipe(max_tokens=8))
    made = assemble(data, "nft", backbone="tiny-sequence", recipe=recipe)
    for key, value in plain.model.state_dict().items():
        assert torch.equal(value, made.model.state_dict()[key]), key
    samples = Samples(made.data.val, CPU, augment=made.data.augment)
    assert torch.equal(samples.take(np.arange(3)).inputs, torch.from_numpy(data.val.inputs[:3]))  # type: ignore[index]


def test_stage_one_sees_samples_as_they_are(
    dense_data: TaskData, recipe: Recipe, train: Callable[..., tuple[Any, FitResult]]
) -> None:
    task = replace(dense_data.task, symmetries=Symmetries(periodic=(0,)))
    data = replace(dense_data, task=task)
    _, plain = train("orca", data, recipe)
    _, moving = train("orca", data, recipe.model_copy(update={"augment": "symmetries"}))

    def losses(result: FitResult, stage: str) -> list[float]:
        return [p.value for p in result.curves if p.name == f"{stage}/loss"]

    assert losses(plain, "alignment") == losses(moving, "alignment")
    assert losses(plain, "fitting") != losses(moving, "fitting")


@pytest.mark.parametrize(
    "symmetries, augment, message",
    [
        (None, "symmetries", "has no symmetries"),
        (Symmetries(), "symmetries", "has no symmetries"),
        (replace(SQUARE, galilean=None), "galilean", "no other frames.*at symmetries"),
        (Symmetries(mirrored=(0, 1), walls=8), "symmetries", "at least 8 points.*has 6 x 6"),
    ],
)
def test_a_task_without_symmetries_is_refused(
    symmetries: Symmetries | None, augment: Any, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        augmented(square(symmetries), Recipe(augment=augment))


def test_weights_are_refused() -> None:
    data = square(SQUARE)
    weighted = replace(data.train, weights=np.ones_like(data.train.targets))
    with pytest.raises(RequestError, match="weights"):
        augmented(replace(data, train=weighted), MOVING)
