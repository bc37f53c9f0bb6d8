"""Running class means: no information where there is none, the right one where there is."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.xmft.test_distortion import conditional_entropy
from xmft.alignment.distortion import ClassMemory, chance_distortion, feature_label_distortion
from xmft.fit import fit
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Recipe, TaskData

Build = Callable[..., tuple[Any, list[Stage]]]
SOURCE = 10


def empty(classes: int, source: int = SOURCE, samples: int = 32) -> ClassMemory:
    return ClassMemory(
        sums=torch.zeros(classes, source), counts=torch.zeros(classes), samples=samples
    )


def seen(classes: int, batch: int, sharpness: float, memory: ClassMemory | None) -> float:
    """Information in nats that predictions show of labels that have nothing to do with them."""
    draws = torch.Generator().manual_seed(0)
    labels, shares = torch.arange(batch) % classes, torch.ones(classes) / classes
    for _ in range(60):
        logits = sharpness * torch.randn(batch, SOURCE, generator=draws)
        found = feature_label_distortion(logits.softmax(dim=1), labels, shares, memory)
    return (found.target - found.conditional).item()


@pytest.mark.parametrize("classes, batch", [(24, 64), (100, 128)])
@pytest.mark.parametrize("sharpness", [1.0, 2.0])
def test_many_classes_show_no_information_that_is_not_there(
    classes: int, batch: int, sharpness: float
) -> None:
    assert seen(classes, batch, sharpness, None) > 0.15
    assert seen(classes, batch, sharpness, empty(classes)) < 0.03


def test_what_is_there_is_seen_as_in_the_joint_table() -> None:
    classes, rng = 24, np.random.default_rng(0)
    table = rng.dirichlet(np.full(SOURCE, 0.1), classes)  # P(z | z')
    weights = rng.dirichlet(np.full(classes, 5.0))
    memory = empty(classes, samples=256)
    labels = np.arange(64) % classes
    for _ in range(400):
        drawn = np.array([rng.choice(SOURCE, p=table[k]) for k in labels])
        found = feature_label_distortion(
            torch.nn.functional.one_hot(torch.from_numpy(drawn), SOURCE).float(),
            torch.from_numpy(labels),
            torch.from_numpy(weights),
            memory,
        )
    true = conditional_entropy(weights[:, None] * table)
    assert found.conditional.item() == pytest.approx(true, abs=0.05)


def test_the_gradient_is_that_of_the_running_means_through_the_batch() -> None:
    torch.manual_seed(0)
    classes, source = 6, 4
    weights = torch.rand(classes, dtype=torch.double)
    memory = ClassMemory(
        sums=torch.zeros(classes, source, dtype=torch.double),
        counts=torch.zeros(classes, dtype=torch.double),
        samples=8,
    )
    labels = torch.tensor([0, 0, 1, 2, 3, 3, 4])
    for _ in range(5):
        earlier = torch.randn(7, source, dtype=torch.double).softmax(dim=1)
        feature_label_distortion(earlier, labels, weights, memory)
    batch = torch.randn(7, source, dtype=torch.double).softmax(dim=1).requires_grad_()
    feature_label_distortion(batch, labels, weights, memory).conditional.backward()

    means = (memory.sums / memory.counts.clamp_min(1e-9)[:, None]).requires_grad_()
    present = weights * (memory.counts > 0)
    present = present / present.sum()

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.clamp_min(1e-300).log()).sum(-1)

    ((present * entropy(means)).sum() - entropy(present @ means)).backward()
    assert means.grad is not None and batch.grad is not None
    members = torch.bincount(labels, minlength=classes)
    expected = means.grad[labels] / members[labels][:, None]
    torch.testing.assert_close(batch.grad, expected, atol=1e-12, rtol=1e-10)


def test_a_batch_that_is_full_of_a_class_is_alone() -> None:
    torch.manual_seed(0)
    memory, labels, shares = empty(3), torch.arange(96) % 3, torch.ones(3) / 3
    for _ in range(3):
        probabilities = torch.randn(96, SOURCE).softmax(dim=1)
        found = feature_label_distortion(probabilities, labels, shares, memory)
        assert torch.equal(
            found.conditional,
            feature_label_distortion(probabilities, labels, shares).conditional,
        )


def test_a_class_holds_as_many_samples_as_were_asked_for() -> None:
    memory, shares = empty(2), torch.ones(2) / 2
    labels = torch.tensor([0, 0, 0, 1])
    for step in range(200):
        probabilities = torch.full((4, SOURCE), 1 / SOURCE)
        feature_label_distortion(probabilities, labels, shares, memory)
        assert step or memory.counts.tolist() == [3, 1]
    assert memory.counts.tolist() == pytest.approx([32, 32], rel=0.01)


def test_shuffled_labels_show_the_bias_of_the_estimate() -> None:
    draws = torch.Generator().manual_seed(0)
    classes, batch = 24, 256
    labels, shares = torch.arange(batch) % classes, torch.ones(classes) / classes
    predictions = (2 * torch.randn(batch, SOURCE, generator=draws)).softmax(dim=1)
    found = feature_label_distortion(predictions, labels, shares).conditional
    chance = chance_distortion(predictions, labels, shares)
    assert math.log(classes) - found > 0.05
    assert abs(chance - found) < 0.02
    assert torch.equal(chance, chance_distortion(predictions, labels, shares))


def test_recraft_remembers_class_means_in_its_state(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    short = recipe.model_copy(update={"epochs": 1})
    model, stages = build("recraft", class_data, short)
    fit(model, stages, class_data, short, Session(), seed=0)
    # 20 steps of four of each class.
    assert model.state_dict()["class_counts"].tolist() == pytest.approx([32] * 3, rel=0.1)
    rows = model.class_sums / model.class_counts[:, None]
    torch.testing.assert_close(rows.sum(dim=1), torch.ones(3))
    published = [("recraft:released", {}), ("recraft:paper", {})]
    for method, options in (*published, ("recraft", {"distortion_weight": 0.0})):
        plain, _ = build(method, class_data, short, **options)
        assert "class_counts" not in plain.state_dict()
