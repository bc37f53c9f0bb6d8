"""Pictures of predictions: which cells are shown, and where the files go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from benchmarks.pdebench.channels import channel_names
from runner.report.entries import Entry, entries_of
from runner.report.select import Cell, cells_of, chosen, one_setting
from runner.storage import Storage, path_of
from xmft.errors import RequestError
from xmft.examples import Examples, Fields

# Examples are kept of the parameters after the last epoch.
_SELECTION = "last"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's prediction of one test sample; fields are `[channels, *grid]`.

    Attributes:
        label: What the method is called.
        seed: Seed of the cell.
        metric: Main metric of the task.
        score: Its value over the whole test split.
        inputs: What the method was given.
        target: What it had to predict.
        prediction: What it predicted.
    """

    label: str
    seed: int
    metric: str
    score: float
    inputs: Fields
    target: Fields
    prediction: Fields

    def nrmse(self, channel: int | None = None) -> float:
        """Return the relative L2 error of this sample, of one channel if one is given."""
        which = slice(None) if channel is None else channel
        target = self.target[which].astype(np.float64)
        error = float(np.linalg.norm(self.prediction[which] - target))
        return error / max(float(np.linalg.norm(target)), 1e-30)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What several methods make of one sample of a task.

    Attributes:
        task: Name of the task.
        origin: Of the data.
        protocol: Of the cells.
        sample: Place in the test split.
        stride: Every how many grid points are shown.
        channels: Names of the channels of the target.
        rows: The methods, best score first; at least one.
    """

    task: str
    origin: str
    protocol: str
    sample: int
    stride: int
    channels: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def path(self) -> str:
        """The file, relative to the folder of figures."""
        return f"{path_of(self.task)}-{self.origin}-{self.protocol}.png"


def pictures(
    table: pa.Table,
    examples: Callable[[str], Examples | None],
    *,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seed: int | None = None,
    sample: int = 0,
    only: Collection[str] | None = None,
) -> Iterator[Picture]:
    """Yield one picture per dense task, origin of its data and protocol.

    Each is of the setting that has most results.

    Args:
        table: All rows of the ledger.
        examples: From the id of a cell to its predictions, None if it has none.
        tasks: Names or globs of the tasks; empty for all.
        methods: Names or globs of the methods; empty for all.
        seed: Seed of the cells; None: the lowest of each method.
        sample: Place in the test split; cells that keep fewer samples are not shown.
        only: Ids of the cells that may be shown; None for all.

    Raises:
        RequestError: a filter matches nothing.
    """
    found = cells_of(table, selection=_SELECTION, split="test")
    found = [cell for cell in found if only is None or cell.cell_id in only]
    seeds = () if seed is None else (seed,)
    found = chosen(found, tasks=tasks, methods=methods, seeds=seeds)
    boards: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in found:
        if cell.value is not None:
            board = (cell.task, cell.origin or "unknown", cell.config["protocol"])
            boards.setdefault(board, []).append(cell)
    for _, cells in sorted(boards.items()):
        picture = _picture(cells, examples, sample)
        if picture is not None:
            yield picture


def _picture(
    cells: Sequence[Cell], examples: Callable[[str], Examples | None], sample: int
) -> Picture | None:
    kept, _ = one_setting(cells)
    picture: Picture | None = None
    rows: list[tuple[float, Row]] = []
    for entry in entries_of(kept):
        shown = _first_with_sample(entry, examples, sample)
        if shown is None:
            continue
        cell, found = shown
        assert cell.value is not None
        row = Row(
            label=entry.label,
            seed=cell.seed,
            metric=cell.metric,
            score=cell.value,
            inputs=found.inputs[sample],
            target=found.targets[sample],
            prediction=found.predictions[sample],
        )
        rows.append((-cell.value if cell.direction == "max" else cell.value, row))
        if picture is None:
            picture = Picture(
                task=cell.task,
                origin=cell.origin or "unknown",
                protocol=cell.config["protocol"],
                sample=sample,
                stride=found.stride,
                channels=_names(cell.task, len(row.target)),
                rows=(),
            )
    rows.sort(key=lambda pair: (pair[0], pair[1].label))
    return picture and replace(picture, rows=tuple(row for _, row in rows))


def _first_with_sample(
    entry: Entry, examples: Callable[[str], Examples | None], sample: int
) -> tuple[Cell, Examples] | None:
    for cell in sorted(entry.cells, key=lambda cell: cell.seed):
        found = examples(cell.cell_id)
        if found is not None and len(found) > sample:
            return cell, found
    return None


def _names(task: str, count: int) -> tuple[str, ...]:
    names = channel_names(task)
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
    # Imported here: matplotlib takes a while, and most commands draw nothing.
    from runner.report.drawing import png

    written = []
    for picture in shown:
        try:
            folder.write(picture.path, png(picture))
        except OSError as error:
            raise RequestError(
                f"The figure {picture.path} cannot be written to {folder.uri} ({error}). "
                "Name a writable folder with --out."
            ) from error
        written.append(picture.path)
    return written
