"""Error floors: how low the scores of a task can go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.report.board import Line
from runner.report.select import Cell


def floor_of(cells: Sequence[Cell]) -> tuple[float | None, str | None]:
    """Return the error floor of one task's cells, and a note if they do not agree on it.

    Of several floors it is the largest: no comparison of these cells resolves less.
    """
    floors = sorted({cell.floor for cell in cells if cell.floor is not None})
    if not floors:
        return None, None
    if len(floors) == 1:
        return floors[0], None
    shown = ", ".join(f"{floor:.1e}" for floor in floors)
    return floors[-1], (
        f"the cells of {cells[0].task} have different error floors ({shown}): the largest is shown"
    )


def below_floor(lines: Sequence[Line], floors: Mapping[str, float | None]) -> list[str]:
    """Return a note for every task on which a line is better than the data allow."""
    notes = []
    for task, floor in floors.items():
        if floor is None:
            continue
        below = ", ".join(
            f"{line.label} ({line.scores[task].mean:.2e})"
            for line in lines
            if task in line.scores and line.scores[task].mean < floor
        )
        if below:
            notes.append(
                f"{task}: {below} scored below the error floor of {floor:.1e}: nearer to the data "
                "than the equation itself is"
            )
    return notes
