import csv
from collections import Counter
from importlib import resources

from benchmarks import published
from benchmarks.published import published_scores

METRICS = {
    "error_pct",
    "fnr_pct",
    "mae8",
    "nrmse",
    "one_minus_auroc",
    "one_minus_f1",
    "one_minus_map",
    "rank",
    "relative_l2",
}


def test_every_row_says_where_it_is_from_and_how_sure_that_is():
    scores = published_scores()
    assert len(scores) > 90
    for score in scores:
        assert score.suite in ("pdebench", "nasbench360")
        assert score.metric in METRICS
        assert score.value >= 0
        assert score.std is None or score.std >= 0
        assert score.source
        assert score.confidence in ("verified", "second-hand")


def test_no_number_is_there_twice():
    counts = Counter((score.task_name, score.method, score.metric) for score in published_scores())
    assert [key for key, count in counts.items() if count > 1] == []


def test_values_are_read_as_published():
    by_key = {(score.task_name, score.method): score for score in published_scores()}
    darts = by_key["nasbench360/darcy", "DARTS (GAEA)"]
    assert (darts.metric, darts.value, darts.std, darts.seeds) == ("relative_l2", 0.026, 0.001, 3)
    assert darts.source.startswith("Tu et al. 2022, arXiv 2110.05668")
    assert by_key["pdebench/advection", "ORCA"].std is None


def test_every_note_is_on_something_that_was_published():
    rows = resources.files(published).joinpath("notes.csv").read_text(encoding="utf-8")
    noted = {
        (f"{row['suite']}/{row['task']}", row["metric"], row["note"])
        for row in csv.DictReader(rows.splitlines())
    }
    found = {(score.task_name, score.metric, score.note) for score in published_scores()}
    assert noted and noted <= found
    assert not any(score.note for score in published_scores() if score.suite == "pdebench")
