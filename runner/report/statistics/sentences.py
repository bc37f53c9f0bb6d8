"""What the statistics say, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from runner.report.statistics.friedman import Friedman
from runner.report.statistics.pairs import smallest_p
from runner.report.statistics.power import Power
from runner.report.statistics.summary import Summary

# So many tasks or more, and the approximations are good (Demsar 2006).
_FEW_TASKS = 10
_MOST_NAMED = 4


def sentences(found: Summary) -> list[str]:
    """Return what a summary says, one thing a sentence."""
    return list(_sentences(found))


def _sentences(found: Summary) -> Iterator[str]:
    if not found.entries:
        yield "No entry is ranked, so there is nothing to compare."
        return
    if len(found.entries) == 1:
        yield f"{found.entries[0]} is alone, so there is nothing to compare it with."
        return
    if found.friedman is None or found.power is None:
        yield (
            f"With one task ({found.tasks[0]}) nothing can be said about other tasks: no test over "
            "tasks was made."
        )
    else:
        yield _friedman(found.friedman, found.alpha)
        yield from _ranks(found, found.power)
        yield from _pairs(found)
        yield from _bayesian(found)
        yield from _interval(found)
        yield from _tasks_needed(found, found.power)
        if len(found.tasks) < _FEW_TASKS:
            yield (
                f"With fewer than {_FEW_TASKS} tasks the tests over tasks and the intervals are "
                "approximations, and better taken as hints."
            )
    yield from _seeds(found)


def _friedman(test: Friedman, alpha: float) -> str:
    if not test.tie_correction:
        return "All entries tie on all tasks, so no test can tell them apart."
    freedom = test.freedom
    text = (
        f"Friedman: chi2 = {test.chi2:.2f} ({_count(freedom, 'degree')} of freedom, "
        f"{_p(test.p)}{', by the exact sign test' if test.entries == 2 else ''})"
    )
    if math.isfinite(test.f):
        text += (
            f", Iman and Davenport: F = {test.f:.2f} ({freedom} and {freedom * (test.tasks - 1)} "
            f"degrees of freedom, {_p(test.f_p)})"
        )
    if (test.p < alpha) != (test.f_p < alpha) and math.isfinite(test.f):
        return f"{text}: the two disagree on whether the entries all perform alike."
    if test.p < alpha:
        return f"{text}: the entries do not all perform alike."
    return f"{text}: that the entries all perform alike cannot be ruled out."


def _ranks(found: Summary, can: Power) -> Iterator[str]:
    board = f"With {can.tasks} tasks and {can.entries} entries"
    level = f"Nemenyi, {_percent(can.alpha)}"
    difference = f"{can.critical_difference:.2f}"
    if can.nothing:
        yield (
            f"{board} no result could tell two entries apart by their average ranks, which would "
            f"have to differ by {difference} and can by {can.largest:.0f} ({level})."
        )
        return
    yield (
        f"{board}, average ranks that differ by less than {difference} cannot be told apart "
        f"({level})."
    )
    if can.shown <= can.largest:
        yield (
            f"A true difference of {can.shown:.2f} would be found with a probability of "
            f"{_percent(can.probability)}."
        )
    else:
        sure = _percent(can.probability)
        yield f"No difference is so large that it would be found with a probability of {sure}."
    first, second = found.entries[:2]
    if found.average_rank[first] == found.average_rank[second]:
        return  # which of those that share the first place is named is chance; see `_tasks_needed`
    alike = next((group for group in found.cliques if first in group), (first,))[1:]
    if alike:
        others = len(found.entries) - 1
        names = f"all {others} others" if len(alike) == others > 1 else _names(alike)
        yield f"{first}, first by average rank, cannot be told from {names} by that test."
    else:
        yield f"{first}, first by average rank, is told from all others by that test."


def _pairs(found: Summary) -> Iterator[str]:
    count, smallest = len(found.pairs), smallest_p(len(found.tasks))
    if len(found.entries) == 2:
        what = "the two entries"
    elif count == len(found.entries) - 1:
        what = f"{found.entries[0]} from each of the {count} others"
    else:
        what = f"the {count} pairs"
    holm = "" if count == 1 else " with Holm's correction"
    if smallest * count >= found.alpha:
        yield (
            f"Wilcoxon's signed-rank test{holm} cannot tell {what} apart whatever the result: its "
            f"smallest p with {len(found.tasks)} tasks is {smallest:.2g}, and "
            f"{found.alpha / count:.2g} would be needed."
        )
        return
    differ = sum(pair.differs for pair in found.pairs) or "none"
    if count == 1:
        (pair,) = found.pairs
        told = "tells" if pair.differs else "does not tell"
        yield f"Wilcoxon's signed-rank test {told} {what} apart ({_p(pair.p)})."
    elif count == len(found.entries) - 1:
        yield (
            f"Wilcoxon's signed-rank test{holm} tells {found.entries[0]} from {differ} of the "
            f"{count} others; other pairs were not tested."
        )
    else:
        yield (
            f"Wilcoxon's signed-rank test{holm} tells {differ} of the {count} pairs of entries "
            "apart."
        )


def _bayesian(found: Summary) -> Iterator[str]:
    if found.bayesian is None:
        return
    first, second = found.entries[:2]
    test = found.bayesian
    better = f"better by more than {_percent(test.width)}"
    yield (
        f"The probability that {first} is {better} than {second} is {test.first:.2f}, that {second}"
        f" is {test.second:.2f}, and that they are equivalent {test.rope:.2f} (Bayesian "
        "signed-rank test)."
    )


def _interval(found: Summary) -> Iterator[str]:
    if found.intervals is None:
        return
    first = found.entries[0]
    low, high = found.intervals.tasks[first]
    text = (
        f"The average rank of {first} is {found.average_rank[first]:.2f}, between {low:.2f} and "
        f"{high:.2f} in {_percent(found.intervals.level)} of the bootstrap samples of tasks"
    )
    if found.seeds[1] > 1:
        low, high = found.intervals.tasks_and_seeds[first]
        text += f", between {low:.2f} and {high:.2f} in those of tasks and seeds"
    yield f"{text}."


def _tasks_needed(found: Summary, can: Power) -> Iterator[str]:
    first, second = found.entries[:2]
    difference = found.average_rank[second] - found.average_rank[first]
    if found.tasks_needed is None:
        yield f"{first} and {second} have the same average rank."
    elif difference < can.critical_difference:
        yield (
            f"To show the difference of {difference:.2f} between {first} and {second} with a "
            f"probability of {_percent(can.probability)}, some {found.tasks_needed:,} tasks would "
            "be needed."
        )


def _seeds(found: Summary) -> Iterator[str]:
    first, second = found.entries[:2]
    if found.seeds[1] < 2:
        yield (
            "With a single seed nothing can be said about chance in training: on each task only "
            "the best is marked."
        )
        return
    if found.seeds[0] < 2:
        yield (
            "Where an entry has a single seed nothing can be said about chance in training: it is "
            "marked only if it is the best."
        )
    needed = {task: count for task, count in found.seeds_needed.items() if count is not None}
    if not needed:
        return
    test = f"A t test of {first} and {second} alone, at the spread over seeds seen here,"
    if max(needed.values()) <= found.seeds[0]:
        where = "any task" if len(needed) == len(found.tasks) else _names(sorted(needed))
        yield f"{test} needs no more seeds than there are to tell them apart on {where}."
        return
    ordered = sorted(needed.items(), key=lambda item: (item[1], item[0]))
    listed = [f"{count:,} on {task}" for task, count in ordered]
    if len(listed) > _MOST_NAMED:
        middle, last = ordered[(len(ordered) - 1) // 2][1], ordered[-1]
        amount = f"{middle:,} or fewer on half of the tasks, {last[1]:,} on {last[0]}"
    else:
        amount = ", ".join(listed)
    yield (
        f"{test} would need so many seeds of each to tell them apart with a probability of 80 %: "
        f"{amount}."
    )


def _names(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[: _MOST_NAMED - 1])} and {len(names) - _MOST_NAMED + 1} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"
