"""Entries compared two by two, beside scipy, scikit-posthocs, statsmodels and closed forms."""

import time

import numpy as np
import pytest
import scikit_posthocs
from scipy import stats
from statsmodels.stats.multitest import multipletests

from runner.report.statistics import bayesian, holm, pairs, relative
from tests.runner.statistics.demsar import AUC
from tests.runner.statistics.frames import losses, random_losses


def test_wilcoxon_is_that_of_the_published_example():
    # Table 2 of Demsar 2006: C4.5 without and with m tuned; R+ = 93, R- = 12.
    thousandths = (-1000 * AUC.loc[["C4.5", "C4.5+m"]]).round()
    (pair,) = pairs(thousandths, absolute=True)
    assert (pair.first, pair.second) == ("C4.5", "C4.5+m")
    assert (pair.wins, pair.losses, pair.statistic) == (2, 10, 12)
    assert pair.differs and 0.005 < pair.p < 0.02  # below 21, the critical value at 0.05


@pytest.mark.parametrize("levels", [None, 3], ids=["no ties", "ties"])
@pytest.mark.parametrize(
    ("entries", "tasks"), [(5, 2), (5, 5), (4, 9), (2, 11), (2, 14), (5, 50), (5, 60)]
)
def test_pairs_are_those_of_scipy_and_scikit_posthocs(entries, tasks, levels):
    frame = random_losses(entries, tasks, seed=tasks, levels=levels)
    expected = scikit_posthocs.posthoc_wilcoxon(
        frame.to_numpy().tolist(), zero_method="zsplit", correction=True
    ).to_numpy()
    found = pairs(frame, absolute=True)
    rows = np.triu_indices(entries, 1)
    np.testing.assert_allclose([pair.p for pair in found], expected[rows], rtol=1e-9)
    for pair in pairs(frame):
        difference = relative(frame.loc[pair.first].to_numpy(), frame.loc[pair.second].to_numpy())
        other = stats.wilcoxon(difference, zero_method="zsplit", correction=True)
        assert (pair.statistic, pair.p) == pytest.approx((other.statistic, other.pvalue))


def test_relative_differences_let_no_task_weigh_more_for_its_scale():
    # b is better by half on six tasks with small errors; a is by 2 % on one with large ones.
    frame = losses([[2e-3] * 6 + [49.0], [1e-3] * 6 + [50.0]])
    (scaled,) = pairs(frame)
    (raw,) = pairs(frame, absolute=True)
    assert (scaled.statistic, raw.statistic) == (1, 7)
    assert scaled.p < 0.05 < raw.p


def test_holm_is_that_of_statsmodels():
    random = np.random.default_rng(0)
    for size in (1, 2, 7, 300):
        p = np.round(random.random(size) ** 3, 2)
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert holm([]).size == 0


def test_pairs_are_corrected_for_all_that_were_compared():
    frame = random_losses(6, 20, seed=1)
    found = pairs(frame, alpha=0.2)
    assert len(found) == 15
    assert [pair.p_holm for pair in found] == pytest.approx(
        multipletests([pair.p for pair in found], method="holm")[1].tolist()
    )
    assert [pair.differs for pair in found] == [pair.p_holm < 0.2 for pair in found]
    best = pairs(frame, against="e3")
    assert [pair.second for pair in best] == ["e0", "e1", "e2", "e4", "e5"]
    assert {pair.first for pair in best} == {"e3"}
    single = {frozenset((pair.first, pair.second)): pair.p for pair in found}
    assert [pair.p for pair in best] == [single[frozenset(("e3", p.second))] for p in best]
    assert max(p.p_holm for p in best) <= 1
    with pytest.raises(ValueError, match="there is no entry e9"):
        pairs(frame, against="e9")


@pytest.mark.parametrize("tasks", [4, 30])
def test_entries_that_tie_everywhere_do_not_differ(tasks):
    found = pairs(losses(np.ones((3, tasks))))
    assert {(pair.p, pair.p_holm, pair.wins, pair.losses) for pair in found} == {(1, 1, 0, 0)}


@pytest.mark.parametrize("tasks", [13, 29])
def test_two_hundred_entries_do_not_take_minutes(tasks):
    frame = random_losses(200, tasks, levels=5)
    start = time.perf_counter()
    assert len(pairs(frame)) == 19_900
    assert time.perf_counter() - start < 20


def test_bayesian_is_the_closed_form_of_one_task():
    # One task and the prior's pseudo-task of weight 1/2: w ~ Beta(1/2, 1), P(w < x) = sqrt(x).
    # Beyond twice the region all pairs but the pseudo-task's own are first's: 1 - w^2 > w^2.
    found = bayesian(losses([[1.00], [1.10]]), "e0", "e1", rope=0.01)
    assert found.first == pytest.approx(0.5**0.25, abs=0.02)
    assert found.second == 0
    # Beyond the region, but not beyond twice that: (1 - w)^2 > 1 - (1 - w)^2.
    found = bayesian(losses([[1.00], [1.015]]), "e0", "e1", rope=0.01)
    assert found.first == pytest.approx((1 - 0.5**0.5) ** 0.5, abs=0.02)
    assert bayesian(losses([[1.0], [1.005]]), "e0", "e1", rope=0.01).rope == 1
    assert bayesian(losses([[1.0] * 9, [1.0] * 9]), "e0", "e1").rope == 1


def test_bayesian_is_a_sampled_posterior():
    frame = losses(1 + 0.15 * np.random.default_rng(5).normal(size=(2, 9)))
    found = bayesian(frame, "e0", "e1", rope=0.1)
    one, other = frame.to_numpy()
    difference = np.append(0, 2 * (other - one) / (other + one))
    random = np.random.default_rng(7)
    weights = random.dirichlet([0.5] + [1] * 9, size=40_000)
    means = (difference[:, None] + difference) / 2
    shares = np.stack(
        [
            np.einsum("si,ij,sj->s", weights, region.astype(float), weights)
            for region in (means > 0.1, np.abs(means) <= 0.1, means < -0.1)
        ]
    )
    expected = np.bincount(shares.argmax(axis=0), minlength=3) / 40_000
    assert (found.first, found.rope, found.second) == pytest.approx(tuple(expected), abs=0.015)
    assert min(expected) > 0.01  # all three are tried
    mirrored = bayesian(frame, "e1", "e0", rope=0.1)
    assert mirrored.first == pytest.approx(found.second, abs=0.015)


def test_bayesian_draws_from_no_generator_of_others_and_repeats():
    frame = random_losses(2, 9, seed=5)
    before = np.random.get_state()[1].copy()
    assert bayesian(frame, "e0", "e1") == bayesian(frame, "e0", "e1")
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_what_bayesian_cannot_compare_is_refused():
    frame = random_losses(2, 3)
    with pytest.raises(ValueError, match="there is no entry e2"):
        bayesian(frame, "e0", "e2")
    with pytest.raises(ValueError, match="a width of 0 or more, not -1"):
        bayesian(frame, "e0", "e1", rope=-1)
    with pytest.raises(ValueError, match="e1 has no finite value on t0"):
        bayesian(losses([[1.0], [np.nan]]), "e0", "e1")
