"""Who is not significantly worse than the best on one task."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from runner.report.statistics import not_worse


@pytest.mark.parametrize("direction", ["min", "max"])
def test_marked_are_those_that_welch_and_holm_leave(direction):
    random = np.random.default_rng(0)
    sign = 1 if direction == "min" else -1
    kept = 0
    for _ in range(6):
        values = {f"e{i}": list(sign * (random.normal(size=2 + i % 4) + 0.7 * i)) for i in range(7)}
        means = {entry: sign * np.mean(own) for entry, own in values.items()}
        best = min(means, key=means.get)
        others = [entry for entry in values if entry != best]
        p = [
            stats.ttest_ind(
                values[entry],
                values[best],
                equal_var=False,
                alternative="greater" if direction == "min" else "less",
            ).pvalue
            for entry in others
        ]
        worse = multipletests(p, alpha=0.05, method="holm")[0]
        expected = {best} | {e for e, is_worse in zip(others, worse, strict=True) if not is_worse}
        assert not_worse(values, direction) == expected
        kept += len(expected)
    assert 6 < kept < 7 * 6  # some are worse, some are not


def test_where_nothing_varies_any_difference_counts():
    values = {"a": [0.1] * 3, "b": [0.1] * 3, "c": [0.1000001] * 3, "d": [0.2] * 3}
    assert not_worse(values, "min") == {"a", "b"}
    assert not_worse(values, "max") == {"d"}


def test_an_entry_that_varies_is_tested_against_one_that_does_not():
    # The mean is 0.11 away; its standard error is 0.055 or 0.0055.
    assert not_worse({"a": [0.1] * 5, "b": [0.1, 0.32]}, "min") == {"a", "b"}
    assert not_worse({"a": [0.1] * 5, "b": [0.20, 0.22, 0.21]}, "min") == {"a"}
    # Equal values whose mean is another in the last digit do not vary either.
    assert not_worse({"a": [0.1] * 3, "b": [0.1 + 1e-9] * 3}, "min") == {"a"}


def test_single_seeds_say_nothing():
    assert not_worse({"a": [0.1], "b": [0.1000001], "c": [0.1]}, "min") == {"a", "c"}
    assert not_worse({"a": [0.1], "b": [0.09, 0.13]}, "min") == {"a"}
    assert not_worse({"a": [0.1, 0.12], "b": [0.115], "c": [0.1, 0.121]}, "min") == {"a", "c"}


def test_zero_is_a_value():
    assert not_worse({"a": [0.0, 0.0], "b": [0.0, 0.0], "c": [1.0, 1.0]}, "min") == {"a", "b"}


def test_few_or_no_entries():
    assert not_worse({}, "min") == set()
    assert not_worse({"a": [1.0]}, "max") == {"a"}


def test_noise_alone_is_seldom_significant():
    random = np.random.default_rng(3)
    left_out = [
        len(not_worse({f"e{i}": random.normal(size=3) for i in range(5)}, "min")) < 5
        for _ in range(150)
    ]
    # The best was chosen by these values: more than 0.05, but not far more.
    assert np.mean(left_out) < 0.15


@pytest.mark.parametrize(
    ("values", "direction", "message"),
    [
        ({"a": []}, "min", "a has no value"),
        ({"a": [1.0], "b": [float("nan")]}, "min", "b has no value, or one that is not finite"),
        ({"a": [1.0]}, "up", "min or max, not up"),
    ],
)
def test_what_is_no_value_is_refused(values, direction, message):
    with pytest.raises(ValueError, match=message):
        not_worse(values, direction)
