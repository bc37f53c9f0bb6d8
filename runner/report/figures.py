"""Pictures of predictions: which cells are shown, and where the files go."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal

import pyarrow as pa

from runner.example_table import NamedExamples
from runner.report import drawing
from runner.report.entries import Contender, contenders_of
from runner.report.picture import Picture, Row, relative_error
from runner.report.plots.files import write_drawn
from runner.report.plots.styles import cut
from runner.report.select import chosen, one_setting
from runner.results import Result, results
from runner.storage import Storage
from xmft.errors import RequestError

# Examples are kept of the parameters after the last epoch.
_SELECTION = "last"

Examined = Callable[[str], NamedExamples | None]
Extreme = Literal["worst", "median"]


def sample_named(text: str) -> int | Extreme:
    """Return which sample a person asks for: a place in the test split, `worst` or `median`.

    Raises:
        RequestError: it is none of these.
    """
    if text == "worst":
        return "worst"
    if text == "median":
        return "median"
    if text.isascii() and text.isdigit():
        return int(text)
    raise RequestError(f"--sample takes a whole number from 0, worst or median, found '{text}'.")


def pictures(
    table: pa.Table,
    examples: Examined,
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seed: int | None = None,
    sample: int | Extreme = 0,
    only: Collection[str] | None = None,
    most: int | None = None,
) -> Iterator[Picture]:
    """Yield one picture per dense task, origin of its data and protocol.

    Each is of the setting that has most results.

    Args:
        table: All rows of the ledger.
        examples: From the id of a cell to its predictions, None if it has none.
        tasks: Names or globs of the tasks; empty for all.
        methods: Names or globs of the methods; empty for all.
        seed: Seed of the cells; None: the lowest of each method.
        sample: Place in the test split; cells that keep fewer samples are not shown. Or that one
            of those that the best method keeps, whose relative L2 error is its `worst`, or its
            `median` (the better of two in the middle).
        only: Ids of the cells that may be shown; None for all.
        most: How many methods to show, the best by their mean score; None for all.

    Raises:
        RequestError: a filter matches nothing.
    """
    found = results(table, selection=_SELECTION, split="test")
    found = [cell for cell in found if only is None or cell.cell_id in only]
    seeds = () if seed is None else (seed,)
    found = chosen(found, tasks=tasks, methods=methods, seeds=seeds)
    boards: dict[tuple[str, str, str], list[Result]] = {}
    for cell in found:
        if cell.value is not None:
            board = (cell.task, cell.origin or "unknown", cell.protocol)
            boards.setdefault(board, []).append(cell)
    for _, cells in sorted(boards.items()):
        picture = _picture(cells, examples, sample, most)
        if picture is not None:
            yield picture


def _picture(
    cells: Sequence[Result], examples: Examined, wanted: int | Extreme, most: int | None
) -> Picture | None:
    kept, _ = one_setting(cells)
    entries = sorted(contenders_of(kept), key=lambda entry: (_mean_loss(entry), entry.label))
    found = (wanted, "") if isinstance(wanted, int) else _extreme(entries, examples, wanted)
    if found is None:
        return None
    sample, chosen = found
    picture: Picture | None = None
    rows: list[tuple[float, Row]] = []
    for entry in entries:
        shown = _first_with_sample(entry, examples, sample)
        if shown is None:
            continue
        cell, kept_fields = shown
        assert cell.value is not None
        row = Row(
            label=entry.label,
            seed=cell.seed,
            metric=cell.metric,
            score=cell.value,
            inputs=kept_fields.inputs[sample],
            target=kept_fields.targets[sample],
            prediction=kept_fields.predictions[sample],
        )
        rows.append((_loss(cell), row))
        if picture is None:
            picture = Picture(
                task=cell.task,
                origin=cell.origin or "unknown",
                protocol=cell.protocol,
                sample=sample,
                stride=kept_fields.stride,
                channels=_names(kept_fields.channels, len(row.target)),
                rows=(),
                chosen=chosen,
            )
        if len(rows) == most:
            break
    rows.sort(key=lambda pair: (pair[0], pair[1].label))
    return picture and replace(picture, rows=tuple(row for _, row in rows))


def _loss(cell: Result) -> float:
    assert cell.value is not None
    return -cell.value if cell.direction == "max" else cell.value


def _mean_loss(entry: Contender) -> float:
    return fmean(_loss(cell) for cell in entry.cells)


def _extreme(
    entries: Sequence[Contender], examples: Examined, wanted: Extreme
) -> tuple[int, str] | None:
    """Return the sample on which the best entry that keeps any is worst or median, and say so."""
    for entry in entries:
        shown = _first_with_sample(entry, examples, 0)
        if shown is None:
            continue
        _, kept = shown
        pairs = zip(kept.predictions, kept.targets, strict=True)
        errors = [relative_error(prediction, target) for prediction, target in pairs]
        # What is no number is worse than any.
        order = sorted(range(len(errors)), key=lambda n: (math.isnan(errors[n]), errors[n], n))
        place = order[-1] if wanted == "worst" else order[(len(order) - 1) // 2]
        return place, f"{wanted} of {len(errors)} kept for {cut(entry.label, 16)}"
    return None


def _first_with_sample(
    entry: Contender, examples: Examined, sample: int
) -> tuple[Result, NamedExamples] | None:
    for cell in sorted(entry.cells, key=lambda cell: cell.seed):
        found = examples(cell.cell_id)
        if found is not None and len(found) > sample:
            return cell, found
    return None


def _names(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return the names if there is one for every channel, else their numbers."""
    if len(names) == count:
        return names
    return tuple(f"channel {number}" for number in range(count)) if count > 1 else ("",)


def write_figures(shown: Iterator[Picture], folder: Storage) -> list[str]:
    """Draw pictures to PNG files, `<suite>/<task>-<origin>-<protocol>.png`.

    Args:
        shown: The pictures.
        folder: Where the files go; each appears whole or not at all.

    Returns:
        The paths, relative to the folder.

    Raises:
        RequestError: a file cannot be written.
    """
    written = []
    for picture in shown:
        write_drawn(f"The figure {picture.path}", picture.path, drawing.png(picture), folder)
        written.append(picture.path)
    return written
