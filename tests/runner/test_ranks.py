import itertools
import math
import statistics

import numpy as np
import pandas as pd
import pytest

from runner.report.ranks import standings
from runner.report.statistics import average_ranks, losses_of, not_worse


def test_standings_against_brute_force():
    random = np.random.default_rng(0)
    entries, tasks, seeds = list("abcde"), ["t0", "t1", "t2", "t3"], range(3)
    # Few distinct values, so that ties happen.
    value = {key: float(random.integers(0, 3)) for key in itertools.product(entries, tasks, seeds)}
    for key in (("b", "t2", 1), ("d", "t0", 0), ("d", "t0", 1), ("d", "t0", 2)):
        del value[key]
    directions = {"t0": "min", "t1": "max", "t2": "min", "t3": "max"}
    scores = pd.DataFrame([(*key, number) for key, number in value.items()]).set_axis(
        ["entry", "task", "seed", "value"], axis=1
    )
    found = standings(scores, directions, entries)
    complete = ["a", "c", "e"]
    mean = {
        (entry, task): statistics.fmean(value[entry, task, seed] for seed in seeds)
        for entry in complete
        for task in tasks
    }
    for entry in complete:
        ranks = []
        for task in tasks:
            sign = -1 if directions[task] == "max" else 1
            better = sum(sign * mean[other, task] < sign * mean[entry, task] for other in complete)
            equal = sum(mean[other, task] == mean[entry, task] for other in complete)
            ranks.append(better + (equal + 1) / 2)
            assert found.rank.at[entry, task] == ranks[-1]
            assert found.mean_of(entry, task) == pytest.approx(mean[entry, task])
            assert found.std.at[entry, task] == pytest.approx(
                statistics.stdev(value[entry, task, seed] for seed in seeds)
            )
        assert found.average_rank[entry] == pytest.approx(statistics.fmean(ranks))
    for entry in ("b", "d"):
        assert found.rank.loc[entry].isna().all()
        assert math.isnan(found.average_rank[entry])
    assert found.present["b", "t2"] == (0, 2)
    assert found.mean_of("b", "t2") == pytest.approx(
        (value["b", "t2", 0] + value["b", "t2", 2]) / 2
    )
    assert found.present["d", "t0"] == ()


def test_two_values_for_one_seed_are_refused():
    scores = pd.DataFrame(
        {"entry": ["a", "a"], "task": ["t", "t"], "seed": [0, 0], "value": [1.0, 2.0]}
    )
    with pytest.raises(ValueError, match="a has two values for seed 0 of t"):
        standings(scores, {"t": "min"}, ["a"])


TRIPLES = [(0.1, 0.2, 0.3), (20.0, 13.33, 26.67), (10.1, 20.3, 30.7), (1e-300, 3e-301, 7e-301)]


@pytest.mark.parametrize("values", TRIPLES, ids=str)
@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_same_values_in_another_order_are_a_tie(values, direction):
    orders = list(itertools.permutations(values))
    scores = pd.DataFrame(
        [
            (f"e{place}", "t", seed, value)
            for place, order in enumerate(orders)
            for seed, value in enumerate(order)
        ],
        columns=["entry", "task", "seed", "value"],
    )
    found = standings(scores, {"t": direction}, [f"e{place}" for place in range(6)])
    assert set(found.rank["t"]) == {3.5}
    of_entries = {entry: list(own) for entry, own in scores.groupby("entry")["value"]}
    assert not_worse(of_entries, direction) == set(of_entries)
    assert set(average_ranks(losses_of(scores, {"t": direction})).values()) == {3.5}


def test_means_that_differ_in_the_last_digits_are_a_tie():
    near = 0.3 + np.spacing(0.3)
    scores = pd.DataFrame(
        [("a", "t", 0, 0.3), ("b", "t", 0, near), ("c", "t", 0, 0.3 * (1 + 1e-9))],
        columns=["entry", "task", "seed", "value"],
    )
    found = standings(scores, {"t": "min"}, ["a", "b", "c"])
    assert found.rank["t"].tolist() == [1.5, 1.5, 3.0]
