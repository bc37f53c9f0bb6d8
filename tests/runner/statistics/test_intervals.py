"""Bootstrap intervals of average ranks, beside scipy's and a count of what they cover."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from runner.report.statistics import losses_of, rank_intervals
from tests.runner.statistics.demsar import DIRECTIONS, LOSSES, SCORES
from tests.runner.statistics.frames import directions, random_scores


def test_intervals_over_tasks_are_those_of_scipy():
    found = rank_intervals(SCORES, DIRECTIONS, resamples=20_000)
    ranks = LOSSES.rank()
    for entry in LOSSES.index:
        other = stats.bootstrap(
            (ranks.loc[entry].to_numpy(),),
            np.mean,
            n_resamples=20_000,
            method="percentile",
            rng=np.random.default_rng(1),
        ).confidence_interval
        assert found.tasks[entry] == pytest.approx(tuple(other), abs=0.08)
    assert found.tasks_and_seeds == found.tasks  # one seed each: nothing else to draw
    assert (found.level, found.resamples) == (0.95, 20_000)


def test_intervals_over_tasks_and_seeds_are_those_of_a_loop():
    scores = random_scores(3, 5, 4, seed=2, spread=0.5)
    # Seeds need not be as many for all.
    scores = scores[(scores["entry"] != "e1") | (scores["seed"] < 2)]
    found = rank_intervals(scores, directions(scores), level=0.8, resamples=4000)
    values = {key: own.to_numpy() for key, own in scores.groupby(["entry", "task"])["value"]}
    random = np.random.default_rng(9)
    averages = []
    for _ in range(800):
        ranks = []
        for task in random.choice(["t0", "t1", "t2", "t3", "t4"], size=5):
            means = [
                random.choice(values[entry, task], size=len(values[entry, task])).mean()
                for entry in ("e0", "e1", "e2")
            ]
            ranks.append(stats.rankdata(means))
        averages.append(np.mean(ranks, axis=0))
    low, high = np.quantile(averages, (0.1, 0.9), axis=0)
    for i, entry in enumerate(("e0", "e1", "e2")):
        assert found.tasks_and_seeds[entry] == pytest.approx((low[i], high[i]), abs=0.16)
        assert found.tasks_and_seeds[entry] != found.tasks[entry]


def test_more_is_better_turns_the_ranks_around():
    scores = random_scores(4, 6, 3)
    turned = scores.assign(value=-scores["value"])
    found = rank_intervals(scores, directions(scores))
    assert found == rank_intervals(turned, directions(scores, "max"))
    assert found == rank_intervals(scores.iloc[:], directions(scores), seed=0)
    assert found != rank_intervals(scores, directions(scores), seed=1)
    before = np.random.get_state()[1].copy()
    rank_intervals(scores, directions(scores))
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_intervals_cover_what_they_say_of_tasks_drawn_from_many():
    """100 boards of 20 tasks out of 20,000, whose average ranks are known."""
    random = np.random.default_rng(0)
    many = 0.4 * np.arange(4)[:, None] + random.normal(size=(4, 20_000))
    truth = stats.rankdata(many, axis=0).mean(axis=1)
    inside = 0
    for _ in range(100):
        tasks = random.choice(20_000, size=20)
        scores = pd.DataFrame(
            [
                (f"e{i}", f"t{j}", 0, many[i, task])
                for i in range(4)
                for j, task in enumerate(tasks)
            ],
            columns=["entry", "task", "seed", "value"],
        )
        found = rank_intervals(scores, directions(scores), level=0.9, resamples=500).tasks
        inside += sum(low <= truth[i] <= high for i, (low, high) in enumerate(found.values()))
    # The percentile bootstrap of 20 is known to be some percent short.
    assert 0.82 <= inside / 400 <= 0.96


def test_seeds_that_all_agree_do_not_spread():
    scores = random_scores(3, 6, 1)
    again = pd.concat([scores, scores.assign(seed=1), scores.assign(seed=2)])
    found = rank_intervals(again, directions(again))
    assert found.tasks_and_seeds == found.tasks
    assert losses_of(again, directions(again)).shape == (3, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "found 1.0 and 2000"),
        ({"resamples": 0}, "found 0.95 and 0"),
        ({"tasks": 1}, "2 tasks or more are needed, found 1"),
        ({"entries": 1}, "2 entries or more are needed, found 1"),
    ],
)
def test_what_has_no_interval_is_refused(change, message):
    scores = random_scores(change.pop("entries", 3), change.pop("tasks", 3), 2)
    with pytest.raises(ValueError, match=message):
        rank_intervals(scores, directions(scores), **change)
