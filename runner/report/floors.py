"""Error floors: how low the scores of a task can go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runner.results import Result

# A floor whose median is below this share of its mean has a tail that is worth a note.
_HEAVY = 0.5


def floor_of(cells: Sequence[Result]) -> tuple[float | None, str | None]:
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


def spread_of(cells: Sequence[Result], floor: float | None) -> Mapping[str, float]:
    """Return the spread of a floor over the test samples, from a cell that has it; or nothing."""
    spreads = (cell.floor_spread for cell in cells if cell.floor == floor)
    return next(filter(None, spreads), {})


def heavy_tails(
    floors: Mapping[str, float | None], spreads: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Return a note for every task whose floor is mostly that of a few test samples.

    Args:
        floors: By task, None where it is unknown.
        spreads: What `spread_of` returned, by task.
    """
    return [
        f"{task}: the error floor of {floors[task]:.1e} is a mean over {spread['samples']:.0f} "
        f"test samples with a heavy tail, median {spread['median']:.1e}, largest "
        f"{spread['largest']:.1e}"
        for task, spread in spreads.items()
        if spread and spread["median"] < _HEAVY * (floors[task] or 0.0)
    ]


def below_floor(
    means: Mapping[str, Mapping[str, float]], floors: Mapping[str, float | None]
) -> list[str]:
    """Return a note for every task on which a line is better than the data allow.

    Args:
        means: By the label of a line, then by task.
        floors: By task, None where it is unknown.
    """
    notes = []
    for task, floor in floors.items():
        if floor is None:
            continue
        below = ", ".join(
            f"{label} ({own[task]:.2e})"
            for label, own in means.items()
            if task in own and own[task] < floor
        )
        if below:
            notes.append(
                f"{task}: {below} scored below the error floor of {floor:.1e}: nearer to the data "
                "than the equation itself is"
            )
    return notes
