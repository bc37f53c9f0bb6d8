"""The measured terms of the bound: what stage 1 does to them, and what they say about the error."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import spearmanr

from runner.report.compare import Leaderboard
from runner.report.markdown import markdown_table
from runner.report.wording import count
from runner.results import Result, results
from xmft.errors import RequestError

# Title and name of each term that is shown.
TERMS = {
    "W1": "w1",
    "W2": "w2",
    "W2 of source halves": "w2_source",
    "H(Z'|Z)": "distortion",
    "H(Z'|Z) less chance": "distortion_corrected",
    "H(Z|Z')": "source_given_target",
    "H(Z)": "source_entropy",
    "violations, source": "lipschitz_violations",
    "violations, target": "target_violations",
    "target fit": "target_fit",
}
FITTED = "training loss"
# Terms that a source predictor measures: with another predictor they are on another scale.
_OF_PREDICTOR = {
    "distortion",
    "distortion_corrected",
    "source_given_target",
    "source_entropy",
    "lipschitz_violations",
    "target_violations",
}
# A rank correlation of fewer cells says nothing.
_LEAST_CELLS = 3


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What was measured in one cell.

    Attributes:
        before: Value by term before the first stage that measures.
        after: After the last one.
        fitted: Mean training loss of the last epoch of target fitting; None if unknown.
    """

    before: dict[str, float]
    after: dict[str, float]
    fitted: float | None


def measured_terms(table: pa.Table) -> dict[str, Terms]:
    """Return the terms by cell id, of the attempt that counts; only of cells that measure any.

    A stage `s` has its terms in rows of metric `s_<term>` with selection `before_s` and `after_s`.

    Args:
        table: Rows of the ledger.
    """
    columns = ["cell_id", "attempt", "selection", "metric", "value", "epoch"]
    wanted = (pc.field("status") == "ok") & (pc.field("split") == "train")
    rows = table.filter(wanted).select(columns).to_pylist()
    counts = {cell.cell_id: cell.attempt for cell in results(table)}
    before: dict[str, dict[str, float]] = {}
    after: dict[str, dict[str, float]] = {}
    fitted: dict[str, float] = {}
    # By epoch: the first `before` and the last `after` stay.
    for row in sorted(rows, key=lambda row: row["epoch"]):
        cell, value = row["cell_id"], row["value"]
        if row["attempt"] != counts.get(cell):
            continue
        when, _, stage = row["selection"].partition("_")
        term = row["metric"].removeprefix(f"{stage}_")
        if when == "before":
            before.setdefault(cell, {}).setdefault(term, value)
        elif when == "after":
            after.setdefault(cell, {})[term] = value
        elif row["metric"] == "target_fit":
            fitted[cell] = value
    return {
        cell: Terms(before=before.get(cell, {}), after=after[cell], fitted=fitted.get(cell))
        for cell in after
        # What `knn` and others chose stands in rows of the same form.
        if after[cell].keys() & set(TERMS.values())
    }


def bound_table(board: Leaderboard, terms: Mapping[str, Terms]) -> str:
    """Return task x entry: each term before and after stage 1, means over seeds.

    Args:
        board: The cells.
        terms: Measured terms by cell id.
    """
    rows = []
    for column in board.tasks:
        for entry in board.by_label:
            own = [
                terms[cell.cell_id]
                for cell in entry.cells
                if cell.task == column.task and cell.value is not None and cell.cell_id in terms
            ]
            if not own:
                continue
            fitted = [found.fitted for found in own if found.fitted is not None]
            rows.append(
                [
                    column.task,
                    entry.label,
                    *(_before_after(own, term) for term in TERMS.values()),
                    f"{fmean(fitted):.3g}" if fitted else "-",
                ]
            )
    if not rows:
        return "No cell has measured terms."
    header = ["task", "entry", *TERMS, FITTED]
    empty = {i for i in range(len(header)) if all(row[i] == "-" for row in rows)}
    return markdown_table(
        [text for i, text in enumerate(header) if i not in empty],
        [[text for i, text in enumerate(row) if i not in empty] for row in rows],
    )


def _before_after(own: Sequence[Terms], term: str) -> str:
    """Return `0.9 → 0.4`, or one number where nothing changed."""
    kept = [found for found in own if term in found.before and term in found.after]
    if not kept:
        return "-"
    before = f"{fmean(found.before[term] for found in kept):.3g}"
    after = f"{fmean(found.after[term] for found in kept):.3g}"
    return after if before == after else f"{before} → {after}"


def bound_error_table(
    board: Leaderboard, terms: Mapping[str, Terms], head_trained: Collection[str]
) -> str:
    """Return each term's rank correlation with the test error, within tasks and then averaged.

    What a source predictor measures is compared between cells with the most frequent predictor
    alone, and the target fit between those whose head is as it was drawn.

    Args:
        board: The cells.
        terms: Measured terms by cell id.
        head_trained: Methods whose stage 1 trains the head, so that their target fit says less of
            the embedder; cells with a `task_weight` do so whatever is said.
    """

    def after(term: str) -> Callable[[Terms], float | None]:
        return lambda found: found.after.get(term)

    def change(term: str) -> Callable[[Terms], float | None]:
        return lambda found: (
            found.after[term] - found.before[term]
            if term in found.before and term in found.after
            else None
        )

    cells = [
        cell
        for entry in board.by_label
        for cell in entry.cells
        if cell.value is not None and cell.cell_id in terms
    ]
    rows = []
    for title, term in TERMS.items():
        own = comparable(cells, term, head_trained)
        rows.append(
            [
                title,
                _told(correlation(board, own, terms, after(term))),
                _told(correlation(board, own, terms, change(term))),
            ]
        )
    fitted = correlation(board, cells, terms, lambda found: found.fitted)
    rows.append([FITTED, _told(fitted), "-"])
    return markdown_table(["term", "value after stage 1", "change by stage 1"], rows)


def comparable(cells: Sequence[Result], term: str, head_trained: Collection[str]) -> list[Result]:
    """Return the cells in which a term means the same.

    Args:
        cells: Cells with measured terms.
        term: One of the values of `TERMS`.
        head_trained: See `bound_error_table`.
    """
    if term in _OF_PREDICTOR:
        predictors = [_predictor(cell) for cell in cells]
        usual = Counter(predictors).most_common(1)
        return [c for c, own in zip(cells, predictors, strict=True) if own == usual[0][0]]
    if term == "target_fit":
        return [cell for cell in cells if not _trains_head(cell, head_trained)]
    return list(cells)


def _trains_head(cell: Result, head_trained: Collection[str]) -> bool:
    """Return whether stage 1 of a cell trains the head: of these methods, or by its options."""
    options = cell.config["method_config"] or {}
    # Parts that are lowered one after the other leave the task out.
    joint = options.get("schedule", "joint") == "joint"
    of_task = joint and options.get("task_weight", 0) > 0
    return cell.method.partition(":")[0] in head_trained or of_task


def _predictor(cell: Result) -> str:
    """Return what the source predictor of a cell was trained on, and how."""
    from xmft.methods.variants import method_of  # with torch, which few readers need

    options, config = cell.config["method_config"] or {}, cell.config
    try:
        pretrained = method_of(cell.method).pretrained
    except RequestError:
        pretrained = True
    encoder = [config.get("weights"), config.get("recipe", {}).get("layers"), pretrained]
    own = [options.get(name) for name in ("predictor", "vision_predictor")]
    return json.dumps([*encoder, *own], sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """A mean of rank correlations within tasks.

    Attributes:
        mean: Mean over tasks of Spearman's coefficient; positive: a larger term goes with a larger
            error.
        tasks: How many tasks take part.
        cells: How many cells these have.
    """

    mean: float
    tasks: int
    cells: int

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({count(self.tasks, 'task')}, {self.cells} cells)"


def correlation(
    board: Leaderboard,
    cells: Sequence[Result],
    terms: Mapping[str, Terms],
    value_of: Callable[[Terms], float | None],
) -> Correlation | None:
    """Return how a term goes with the test error; None where no task can tell.

    A task takes part where both the term and the error differ among its cells.

    Args:
        board: The tasks.
        cells: Cells with measured terms.
        terms: Measured terms by cell id.
        value_of: The term; None where a cell lacks it.
    """
    coefficients, number = [], 0
    for column in board.tasks:
        sign = -1.0 if column.direction == "max" else 1.0
        pairs = [
            (value, sign * cell.value)
            for cell in cells
            if cell.task == column.task
            and cell.value is not None
            and (value := value_of(terms[cell.cell_id])) is not None
        ]
        values, errors = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        if len(pairs) < _LEAST_CELLS or len(set(values)) == 1 or len(set(errors)) == 1:
            continue
        coefficients.append(float(spearmanr(values, errors).statistic))
        number += len(pairs)
    if not coefficients:
        return None
    return Correlation(mean=fmean(coefficients), tasks=len(coefficients), cells=number)


def _told(found: Correlation | None) -> str:
    return "-" if found is None else str(found)
