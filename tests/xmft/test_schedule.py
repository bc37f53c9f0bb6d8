import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from xmft.optimizers import (
    SCHEDULES,
    constant,
    in_three_parts,
    one_cycle,
    warmup_then_cosine,
    warmup_then_linear,
)


def rates(scheduler: LRScheduler, steps: int) -> list[float]:
    """The rates that a scheduler of torch gives to the first steps."""
    found = []
    for _ in range(steps):
        found.append(float(scheduler.get_last_lr()[0]))
        scheduler.optimizer.step()
        scheduler.step()
    return found


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize("warmup, steps", [(0.1, 100), (0.25, 40), (0.0, 7), (0.5, 3), (0.9, 2)])
def test_it_rises_from_above_zero_to_one_and_ends_at_zero(warmup: float, steps: int) -> None:
    factor = warmup_then_linear(warmup, steps)
    values = [factor(step) for step in range(steps + 1)]
    assert 0 < values[0] <= 1
    assert max(values) == 1
    assert values[steps] == 0 and all(value > 0 for value in values[:steps])
    top = values.index(1)
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)


def test_known_values() -> None:
    factor = warmup_then_linear(0.2, 10)  # two of ten steps rise, eight fall
    expected = [0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0]
    assert [factor(step) for step in range(11)] == pytest.approx(expected)


def test_one_step_is_taken_at_the_full_rate() -> None:
    assert warmup_then_linear(0.1, 1)(0) == 1


def test_nothing_is_negative_after_the_end() -> None:
    assert warmup_then_linear(0.1, 10)(12) == 0


def test_three_parts_change_after_20_and_40_of_60_steps() -> None:
    factor = in_three_parts(60)
    found = [factor(step) for step in range(61)]
    assert found == pytest.approx([1.0] * 20 + [0.2] * 20 + [0.04] * 21)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_three_parts_of_few_steps_start_at_the_peak_and_never_rise(steps: int) -> None:
    values = [in_three_parts(steps)(step) for step in range(steps + 1)]
    assert values[0] == 1 and values == sorted(values, reverse=True) and values[-1] > 0


def test_constant_stays() -> None:
    assert {constant(5)(step) for step in range(6)} == {1.0}


@pytest.mark.parametrize("warmup, steps", [(0.1, 100), (0.3, 37), (0.5, 8), (0.9, 20)])
def test_one_cycle_is_that_of_torch(warmup: float, steps: int) -> None:
    scheduler = OneCycleLR(
        optimizer(), max_lr=1.0, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    # Torch refuses steps behind the last one, so that one is not taken.
    expected = rates(scheduler, steps - 1)
    assert [one_cycle(warmup, steps)(k) for k in range(steps - 1)] == pytest.approx(expected)


@pytest.mark.parametrize("warmup, steps", [(0.0, 5), (0.1, 10), (0.1, 1), (0.1, 3), (0.9, 1)])
def test_one_cycle_of_few_steps_never_rises_above_the_peak(warmup: float, steps: int) -> None:
    values = [one_cycle(warmup, steps)(step) for step in range(steps + 3)]
    assert values[0] == 1 and values == sorted(values, reverse=True)


@pytest.mark.parametrize("warmup, steps", [(0.1, 100), (0.25, 40), (0.5, 8)])
def test_the_cosine_falls_as_that_of_torch(warmup: float, steps: int) -> None:
    factor, rising = warmup_then_cosine(warmup, steps), round(warmup * steps)
    expected = rates(CosineAnnealingLR(optimizer(), T_max=steps - rising), steps - rising)
    assert [factor(step) for step in range(rising, steps)] == pytest.approx(expected)
    linear = warmup_then_linear(warmup, steps)
    assert [factor(step) for step in range(rising)] == [linear(step) for step in range(rising)]
    assert factor(steps) == pytest.approx(0, abs=1e-15) and factor(steps + 5) >= 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_one_step_has_a_rate(name: str) -> None:
    assert SCHEDULES[name](0.1, 1)(0) == 1  # type: ignore[index]
