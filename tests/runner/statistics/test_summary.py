"""All statistics of a board, and what is said of them."""

import re

import numpy as np
import pytest

from runner.report.statistics import (
    bayesian,
    cliques,
    critical_difference,
    friedman,
    normalised,
    not_worse,
    pairs,
    rank_intervals,
    summary,
    win_rates,
)
from tests.runner.statistics.demsar import DIRECTIONS, LOSSES, SCORES
from tests.runner.statistics.frames import directions, random_scores


def said(scores, way="min", **options):
    return " ".join(summary(scores, directions(scores, way), **options).sentences())


def test_a_summary_holds_what_the_functions_say():
    found = summary(SCORES, DIRECTIONS)
    ranks = found.average_rank
    assert found.entries == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert found.critical_difference == critical_difference(4, 14)
    assert found.friedman == friedman(LOSSES)
    assert found.cliques == tuple(cliques(ranks, critical_difference(4, 14)))
    assert found.pairs == tuple(pairs(LOSSES.loc[list(ranks)]))
    assert found.bayesian == bayesian(LOSSES, "C4.5+m+cf", "C4.5+m")
    assert found.intervals == rank_intervals(SCORES, DIRECTIONS)
    assert (found.win_rate, found.normalised) == (win_rates(LOSSES), normalised(LOSSES))
    assert found.not_worse["iris"] == {"C4.5"}
    assert found.seeds == (1, 1)
    assert found == summary(SCORES, DIRECTIONS)


def test_the_published_example_in_words():
    sentences = summary(SCORES, DIRECTIONS).sentences()
    assert sentences[0] == (
        "Friedman: chi2 = 10.23 (3 degrees of freedom, p = 0.017), Iman and Davenport: F = 4.19 "
        "(3 and 39 degrees of freedom, p = 0.012): the entries do not all perform alike."
    )
    assert sentences[1:5] == [
        "With 14 tasks and 4 entries, average ranks that differ by less than 1.25 cannot be told "
        "apart (Nemenyi, 5 %).",
        "A true difference of 1.66 would be found with a probability of 80 %.",
        "C4.5+m+cf, first by average rank, cannot be told from all 3 others by that test.",
        "Wilcoxon's signed-rank test with Holm's correction tells none of the 6 pairs of entries "
        "apart.",
    ]
    assert "The average rank of C4.5+m+cf is 1.96, between 1." in sentences[6]
    assert sentences[7].startswith(
        "To show the difference of 0.04 between C4.5+m+cf and C4.5+m with a probability of 80 %, "
    )
    assert sentences[8].startswith("With a single seed nothing can be said about chance")
    assert len(sentences) == 9


def test_one_entry_one_task_and_none():
    assert said(random_scores(1, 4, 2)) == "e0 is alone, so there is nothing to compare it with."
    alone = summary(random_scores(1, 4, 2), directions(random_scores(1, 4, 2)))
    assert (alone.average_rank, alone.win_rate) == ({"e0": 1.0}, {})
    assert alone.not_worse == {f"t{i}": {"e0"} for i in range(4)}
    assert (alone.friedman, alone.critical_difference, alone.intervals) == (None, None, None)
    nothing = summary(random_scores(0, 0, 0), {})
    assert nothing.sentences() == ["No entry is ranked, so there is nothing to compare."]
    assert summary(random_scores(0, 0, 0), {"t0": "min"}).entries == ()
    scores = random_scores(3, 1, 4)
    single = summary(scores, directions(scores))
    assert single.sentences()[0] == (
        "With one task (t0) nothing can be said about other tasks: no test over tasks was made."
    )
    assert "would need so many seeds of each" in single.sentences()[1]
    values = {entry: own.tolist() for entry, own in scores.groupby("entry")["value"]}
    assert single.not_worse == {"t0": not_worse(values, "min")}
    assert (len(single.win_rate), single.friedman) == (3, None)


@pytest.mark.parametrize(("entries", "tasks", "seeds"), [(2, 2, 1), (3, 4, 2), (40, 3, 2)])
def test_ties_everywhere(entries, tasks, seeds):
    scores = random_scores(entries, tasks, seeds).assign(value=0.5)
    found = summary(scores, directions(scores))
    sentences = found.sentences()
    assert sentences[0] == "All entries tie on all tasks, so no test can tell them apart."
    assert "e0 and e1 have the same average rank." in sentences
    assert found.not_worse["t0"] == set(found.entries)
    assert set(found.normalised.values()) == {1}
    assert (found.bayesian.rope, found.tasks_needed) == (1, None)


def test_too_few_tasks_to_show_anything_is_said():
    text = said(random_scores(8, 2, 2))
    assert (
        "With 2 tasks and 8 entries no result could tell two entries apart by their average ranks, "
        "which would have to differ by 7.42 and can by 7 (Nemenyi, 5 %)."
    ) in text
    assert (
        "Wilcoxon's signed-rank test with Holm's correction cannot tell the 28 pairs apart "
        "whatever the result: its smallest p with 2 tasks is 0.5, and 0.0018 would be needed."
    ) in text
    assert "With fewer than 10 tasks the tests over tasks" in text


def test_two_entries_in_words():
    text = said(random_scores(2, 12, 3, spread=0.01))
    assert "(1 degree of freedom, p < 0.001, by the exact sign test): the entries" in text
    assert "e0, first by average rank, is told from all others by that test." in text
    assert "Wilcoxon's signed-rank test tells the two entries apart (p < 0.001)." in text
    assert "is better by more than 1 % than e1 is 1.00, that e1 is 0.00" in text
    assert "needs no more seeds than there are to tell them apart on any task." in text  # 2, of 3
    assert "To show the difference" not in text  # it is shown


def test_seeds_that_would_be_needed_are_said():
    text = said(random_scores(2, 12, 3))
    assert "A t test of e0 and e1 alone, at the spread over seeds seen here, would need" in text
    assert re.search(r"80 %: \d[\d,]* or fewer on half of the tasks, \d[\d,]* on t\d+\.", text)


def test_seeds_are_told_of_tasks_that_differ_alone():
    scores = random_scores(2, 4, 3, spread=0.01)
    scores.loc[scores["task"] == "t1", "value"] = 0.5
    assert "to tell them apart on t0, t2 and t3." in said(scores)


def test_of_two_that_share_the_first_place_neither_is_called_first():
    scores = random_scores(3, 20, 1)
    scores["value"] = [
        [0.1, 0.2, 0.9][(int(e[1]) + (int(t[1:]) % 2) * (e != "e2")) % 2 if e != "e2" else 2]
        for e, t in zip(scores["entry"], scores["task"], strict=True)
    ]
    text = said(scores)
    assert "have the same average rank" in text and "first by average rank" not in text


def test_seeds_that_are_missing_are_said():
    scores = random_scores(3, 3, 3)
    text = said(scores[(scores["entry"] != "e2") | (scores["seed"] == 0)])
    assert "Where an entry has a single seed nothing can be said about chance" in text
    assert "on t0" in text and "on t2" in text


def test_names_are_not_formats():
    scores = random_scores(3, 3, 2).replace({"e0": "<b>{0}%s\\%</b>"})
    assert "<b>{0}%s\\%</b>" in said(scores)


@pytest.mark.parametrize(("tasks", "seeds"), [(29, 3), (9, 1)])
def test_two_hundred_entries(tasks, seeds):
    scores = random_scores(200, tasks, seeds)
    found = summary(scores, directions(scores))
    text = " ".join(found.sentences())
    first = found.entries[0]
    assert {pair.first for pair in found.pairs} == {first} and len(found.pairs) == 199
    assert ("other pairs were not tested" in text) == (tasks == 29)
    assert (f"cannot tell {first} from each of the 199 others apart whatever" in text) == (
        tasks == 9
    )
    assert max(map(len, found.sentences())) < 300


def test_any_dense_board_has_a_summary():
    random = np.random.default_rng(0)
    for _ in range(15):
        entries, tasks, seeds = random.integers(1, 6, size=3)
        scores = random_scores(entries, tasks, seeds, seed=int(random.integers(1000)))
        kind = random.integers(5)
        if kind == 0:
            scores["value"] = scores["value"].round()
        elif kind == 1:
            scores["value"] *= random.choice([0.0, -1.0, 1e-300, 1e300])
        elif kind == 2:
            scores["value"] = scores.groupby(["entry", "task"])["value"].transform("first")
        elif kind == 3:  # seeds as they come, one at least
            scores = scores[(scores["seed"] == 0) | (random.random(len(scores)) < 0.5)]
        sentences = summary(scores, directions(scores), resamples=50).sentences()
        assert sentences and all(sentence.endswith(".") for sentence in sentences)
        assert not any(word in " ".join(sentences) for word in ("nan", "inf", "None"))


def test_a_board_with_gaps_is_refused():
    scores = random_scores(3, 3, 2)
    with pytest.raises(ValueError, match="e1 has no finite value on t2"):
        summary(scores[(scores["entry"] != "e1") | (scores["task"] != "t2")], directions(scores))
    with pytest.raises(ValueError, match="e0 has a value on t0 that is not finite"):
        summary(scores.assign(value=np.inf), directions(scores))
    one = scores.copy()
    one.loc[1, "value"] = np.nan  # one seed of two
    with pytest.raises(ValueError, match="e0 has a value on t0 that is not finite"):
        summary(one, directions(scores))
