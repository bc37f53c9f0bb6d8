"""What so many tasks and seeds can show, beside simulations and statsmodels."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestIndPower

from runner.report.statistics import critical_difference, power, seeds_needed, tasks_needed


def test_power_starts_from_the_critical_difference():
    found = power(4, 14)
    assert found.critical_difference == critical_difference(4, 14)
    # z(0.8) = 0.8416 deviations sqrt(4 * 5 / (6 * 14)) more.
    assert found.shown == pytest.approx(1.2527 + 0.8416 * 0.48795, abs=1e-3)
    assert (found.largest, found.nothing) == (3, False)
    assert not power(8, 3).nothing  # 6.06 of 7
    assert power(8, 2).nothing  # 7.42 of 7


@pytest.mark.parametrize(("entries", "tasks", "better"), [(4, 30, 0.9), (10, 20, 1.6)])
def test_what_is_shown_is_found_as_often_as_said_or_oftener(entries, tasks, better):
    """Boards where the first entry is better than the rest, which are alike."""
    random = np.random.default_rng(0)
    losses = random.normal(size=(2000, tasks, entries))
    losses[..., 0] -= better
    ranks = stats.rankdata(losses, axis=-1).mean(axis=1)
    true = ranks[:, 1].mean() - ranks[:, 0].mean()
    deviation = (entries * (entries + 1) / (6 * tasks)) ** 0.5
    said = stats.norm.cdf((true - critical_difference(entries, tasks)) / deviation)
    found = (ranks[:, 1] - ranks[:, 0] >= critical_difference(entries, tasks)).mean()
    assert 0.55 < said < 0.95
    assert said - 0.05 <= found <= said + 0.15


def test_power_of_a_difference_that_is_small():
    """Where entries are nearly alike the closed form is exact: few of many tasks are shifted."""
    random = np.random.default_rng(0)
    entries, tasks = 6, 40
    losses = random.normal(size=(3000, tasks, entries))
    losses[..., 0] -= 0.5
    ranks = stats.rankdata(losses, axis=-1).mean(axis=1)
    true = (ranks[:, 1:].mean(axis=1) - ranks[:, 0]).mean()
    deviation = (entries * (entries + 1) / (6 * tasks)) ** 0.5
    said = stats.norm.cdf((true - critical_difference(entries, tasks)) / deviation)
    found = (ranks[:, 1] - ranks[:, 0] >= critical_difference(entries, tasks)).mean()
    assert found == pytest.approx(said, abs=0.03)


@pytest.mark.parametrize(("entries", "difference"), [(2, 0.2), (4, 0.3), (4, 2.9), (20, 1.0)])
def test_tasks_needed_are_the_fewest_that_show_the_difference(entries, difference):
    count = tasks_needed(entries, difference)
    assert power(entries, count).shown <= difference + 1e-9
    assert count == 1 or power(entries, count - 1).shown > difference
    assert tasks_needed(entries, difference, probability=0.5) < count


def test_no_number_of_tasks_shows_no_difference():
    assert tasks_needed(4, 0.0) is None


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.8, 1.5, 4.0])
def test_seeds_needed_are_those_of_statsmodels(effect):
    first = [0.0, 1.0, 2.0]  # deviation 1
    found = seeds_needed(first, [value + effect for value in first])
    exact = TTestIndPower().solve_power(effect, alpha=0.05, power=0.8)
    assert found == pytest.approx(np.ceil(exact), abs=2 if effect < 0.2 else 0)


def test_seeds_needed_of_large_effects_are_two():
    found = seeds_needed([1.0, 1.0 + 1e-6], [2.0, 2.0 + 1e-6])
    assert found == 2


def test_seeds_needed_where_nothing_varies_or_nothing_is_known():
    assert seeds_needed([1.0, 1.0], [2.0, 2.0]) == 1
    assert seeds_needed([1.0, 1.0], [1.0, 1.0]) is None
    assert seeds_needed([1.0, 2.0], [2.0, 1.0]) is None
    assert seeds_needed([1.0], [2.0, 2.1]) is None
    assert seeds_needed([0.0, 0.0], [0.0, 0.0]) is None
    assert seeds_needed([0.1] * 3, [0.1, 0.1, 0.3]) > 2
