"""Tests by average ranks beside the tables and the example of Demsar 2006, and other software."""

import math

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from scipy import stats

from runner.report.statistics import (
    average_ranks,
    cliques,
    critical_difference,
    friedman,
    losses_of,
    nemenyi,
    relative,
)
from tests.runner.statistics.demsar import DIRECTIONS, LOSSES, SCORES
from tests.runner.statistics.frames import losses, random_losses


def test_friedman_and_nemenyi_are_those_of_the_published_example():
    found = losses_of(SCORES, DIRECTIONS)
    pd.testing.assert_frame_equal(found, LOSSES, check_names=False)
    ranks = average_ranks(found)
    printed = {"C4.5+m+cf": 1.964, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert ranks == pytest.approx(printed, abs=5e-4)
    assert list(ranks) == list(printed)
    test = friedman(found)
    # The paper does not correct for ties: of 14 x 4 ranks 2, 2, 4 and 2 are shared.
    assert test.tie_correction == pytest.approx(1 - (6 + 6 + 60 + 6) / (14 * (4**3 - 4)))
    chi2 = test.chi2 * test.tie_correction
    assert chi2 == pytest.approx(9.28, abs=0.005)
    assert 13 * chi2 / (14 * 3 - chi2) == pytest.approx(3.69, abs=0.005)
    assert test.f == pytest.approx(13 * test.chi2 / (14 * 3 - test.chi2))
    assert test.f_p == pytest.approx(stats.f.sf(test.f, 3, 39))
    difference = critical_difference(4, 14, 0.10)
    assert difference == pytest.approx(1.12, abs=0.005)
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    # "C4.5 is worse than C4.5+m and C4.5+m+cf" at 0.10: figure 1a.
    assert cliques(ranks, difference) == [
        ("C4.5+m+cf", "C4.5+m", "C4.5+cf"),
        ("C4.5+cf", "C4.5"),
    ]
    p = nemenyi(found)
    assert (p.to_numpy() < 0.10).sum() == 4
    assert max(p.at["C4.5", "C4.5+m"], p.at["C4.5", "C4.5+m+cf"]) < 0.10


# Table 5a of Demsar 2006: q for 2 to 10 entries.
Q = {
    0.05: (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164),
    0.10: (1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920),
}


@pytest.mark.parametrize("alpha", Q)
def test_critical_differences_are_those_of_the_published_table(alpha):
    for entries, q in zip(range(2, 11), Q[alpha], strict=True):
        found = critical_difference(entries, 1, alpha) / math.sqrt(entries * (entries + 1) / 6)
        assert found == pytest.approx(q, abs=1.1e-3)  # the table cuts off the fourth digit
    assert critical_difference(5, 36, alpha) == pytest.approx(critical_difference(5, 1, alpha) / 6)


@pytest.mark.parametrize("levels", [None, 4], ids=["no ties", "ties"])
@pytest.mark.parametrize(("entries", "tasks"), [(3, 2), (4, 14), (9, 29)])
def test_friedman_and_nemenyi_agree_with_scipy_and_scikit_posthocs(entries, tasks, levels):
    frame = random_losses(entries, tasks, seed=entries, levels=levels)
    test = friedman(frame)
    other = stats.friedmanchisquare(*frame.to_numpy())
    assert (test.chi2, test.p) == pytest.approx((other.statistic, other.pvalue))
    expected = scikit_posthocs.posthoc_nemenyi_friedman(frame.T)
    np.testing.assert_allclose(nemenyi(frame), expected, atol=1e-9)
    assert list(nemenyi(frame)) == list(frame.index)


def test_average_ranks_differ_by_the_critical_difference_where_nemenyi_says_so():
    frame = random_losses(12, 20, seed=3)
    ranks, p = average_ranks(frame), nemenyi(frame)
    difference = critical_difference(12, 20)
    for one in ranks:
        for other in ranks:
            apart = abs(ranks[one] - ranks[other]) >= difference
            assert apart == (p.at[one, other] <= 0.05)


def test_friedman_of_two_entries_is_the_sign_test():
    frame = losses([[1, 1, 1, 1, 2, 3], [2, 2, 2, 2, 1, 3]])
    test = friedman(frame)
    # 4 wins, 1 loss, a tie that is left aside.
    assert test.chi2 == pytest.approx((4 - 1) ** 2 / 5)
    assert test.p == pytest.approx(2 * (1 + 5) / 2**5)
    # A chi2 of 4 has p = 0.046, but who wins all of 4 tasks does so by chance in 1 of 8.
    assert friedman(losses([[1] * 4, [2] * 4])).p == pytest.approx(1 / 8)


def test_friedman_keeps_its_level_where_all_perform_alike():
    random = np.random.default_rng(1)
    for entries, tasks in ((2, 6), (3, 3), (4, 5), (8, 3)):
        found = [friedman(losses(random.random((entries, tasks)))).p < 0.05 for _ in range(200)]
        assert np.mean(found) < 0.09


def test_where_all_tie_nothing_differs():
    test = friedman(losses(np.ones((3, 5))))
    assert (test.chi2, test.p, test.f, test.f_p) == (0, 1, 0, 1)
    assert (nemenyi(losses(np.ones((3, 5)))).to_numpy() == 1).all()


def test_where_all_tasks_agree_f_has_no_end():
    assert friedman(losses([[1, 1, 1], [2, 2, 2], [3, 3, 3]])).f == math.inf


def test_cliques_are_the_largest_sets_within_the_difference():
    ranks = {"a": 1.0, "c": 2.0, "b": 1.5, "d": 3.4, "e": 4.0, "f": 9.0}
    assert cliques(ranks, 1.5) == [("a", "b", "c"), ("c", "d"), ("d", "e")]
    assert cliques(ranks, 0.5) == []  # a difference of the critical one is a difference
    assert cliques(ranks, 100) == [("a", "b", "c", "d", "e", "f")]
    assert cliques({}, 1) == []
    random = np.random.default_rng(0)
    for _ in range(50):
        ranks = {f"e{i}": float(v) for i, v in enumerate(random.integers(1, 30, size=12) / 3)}
        names = sorted(ranks, key=lambda name: (ranks[name], name))
        groups = [
            tuple(names[i : j + 1])
            for i in range(12)
            for j in range(i + 1, 12)
            if ranks[names[j]] - ranks[names[i]] < 2
        ]
        largest = [g for g in groups if not any(set(g) < set(other) for other in groups)]
        assert cliques(ranks, 2) == largest


def test_relative_differences_are_those_of_logarithms_where_small():
    one, other = np.array([1e-4, 99.0, 0.0, -0.9]), np.array([1.01e-4, 100.0, 0.0, -0.91])
    logs = np.log(np.abs(one[[0, 1]])) - np.log(np.abs(other[[0, 1]]))
    np.testing.assert_allclose(relative(one, other)[[0, 1]], logs, rtol=1e-4)
    np.testing.assert_array_equal(relative(one, other), -relative(other, one))
    assert relative(one, other)[2] == 0
    assert relative(one, other)[3] == pytest.approx(0.01 / 0.905)  # the accuracy is higher
    assert relative(np.array([1.0]), np.array([0.0])) == 2


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (losses([[1, 2]]), "2 entries or more are needed, found 1"),
        (losses([[1], [2]]), "2 tasks or more are needed, found 1"),
        (losses([[1, 2], [3, math.nan]]), "e1 has no finite value on t1"),
        (losses([[math.inf, 2], [3, 4]]), "e0 has no finite value on t0"),
    ],
    ids=["one entry", "one task", "nan", "inf"],
)
@pytest.mark.parametrize("function", [friedman, nemenyi])
def test_what_cannot_be_tested_is_refused(function, frame, message):
    with pytest.raises(ValueError, match=message):
        function(frame)


def test_scores_that_make_no_matrix_are_refused():
    gap = SCORES[(SCORES["entry"] != "C4.5") | (SCORES["task"] != "iris")]
    with pytest.raises(ValueError, match=r"C4\.5 has no finite value on iris"):
        losses_of(gap, DIRECTIONS)
    with pytest.raises(ValueError, match="scores on wine, whose direction is not given"):
        losses_of(SCORES, {task: way for task, way in DIRECTIONS.items() if task != "wine"})
    with pytest.raises(ValueError, match="min or max, not up"):
        losses_of(SCORES, DIRECTIONS | {"wine": "up"})
    with pytest.raises(ValueError, match=r"found 1, 3 and 0\.05"):
        critical_difference(1, 3)
