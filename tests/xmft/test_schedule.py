import pytest

from xmft.optimizers import constant, in_three_parts, warmup_then_linear


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
