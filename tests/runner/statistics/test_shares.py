"""Win rates and normalised scores, beside a count and values worked by hand."""

import numpy as np
import pytest

from runner.report.statistics import normalised, win_rates
from tests.runner.statistics.frames import losses, random_losses


@pytest.mark.parametrize("levels", [None, 3], ids=["no ties", "ties"])
def test_win_rates_count_pairs(levels):
    frame = random_losses(6, 9, levels=levels)
    found = win_rates(frame)
    for entry in frame.index:
        won = [
            1.0 if own < other else 0.5 if own == other else 0.0
            for task in frame
            for rival in frame.index.drop(entry)
            for own, other in [(frame.at[entry, task], frame.at[rival, task])]
        ]
        assert found[entry] == pytest.approx(np.mean(won))
    assert np.mean(list(found.values())) == pytest.approx(0.5)


def test_normalised_scores_worked_by_hand():
    #        best 1, median 3      best 10, median 10      best 0, median 2
    frame = losses([[1, 10, 4], [2, 10, 2], [3, 10, 1], [4, 11, 0], [9, 99, 9]])
    assert normalised(frame) == pytest.approx(
        {
            "e0": (1 + 1 + 0) / 3,
            "e1": (0.5 + 1 + 0) / 3,
            "e2": (0 + 1 + 0.5) / 3,
            "e3": (0 + 0 + 1) / 3,
            "e4": 0,
        }
    )


def test_entries_that_all_tie_are_all_the_best():
    frame = losses(np.ones((3, 2)))
    assert set(normalised(frame).values()) == {1}
    assert set(win_rates(frame).values()) == {0.5}


def test_two_entries_one_task():
    frame = losses([[0.2], [0.1]])
    assert win_rates(frame) == {"e0": 0, "e1": 1}
    assert normalised(frame) == {"e0": 0, "e1": 1}


@pytest.mark.parametrize("function", [win_rates, normalised])
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (losses([[1, 2]]), "2 entries or more are needed, found 1"),
        (losses(np.empty((2, 0))), "one task or more is needed, found 0"),
        (losses([[1, 2], [3, np.nan]]), "e1 has no finite value on t1"),
    ],
    ids=["one entry", "no task", "nan"],
)
def test_what_has_no_share_is_refused(function, frame, message):
    with pytest.raises(ValueError, match=message):
        function(frame)
