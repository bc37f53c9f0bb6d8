"""A study: the search for one method on one task, as cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from runner.cell import Cell
from runner.results import results
from runner.search.halving import promoted, rungs
from runner.search.proposals import Values, proposals
from runner.search.space import OPTIONS, Domain, Search

# Failures that say nothing about a trial: it is tried again before anything is decided.
_UNDECIDED = ("infra", "data")


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What a study consists of by now.

    Attributes:
        trials: Its trials, each once for every rung that it reached.
        spent: Ids of those from whose checkpoints no other will go on.
        final: The cells with the best configuration; none before it is known.
        note: How far it is, for people.
    """

    trials: tuple[Cell, ...]
    spent: frozenset[str]
    final: tuple[Cell, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """The search for one method on one task.

    Attributes:
        search: What the grid says.
        space: What may be chosen, by field of the recipe or `options.field`.
        make: Makes a cell of chosen values, whatever its seed.
        seed: Of the proposals and of the trials.
        seeds: Of the cells with the best configuration.
        epochs: Of the whole length.
        direction: `min` or `max` of the metric that ranks the task.
    """

    search: Search
    space: Mapping[str, Domain]
    make: Callable[[Values], Cell]
    seed: int
    seeds: Sequence[int]
    epochs: int
    direction: str

    @property
    def levels(self) -> list[int]:
        """The epochs after which trials are compared."""
        if self.search.scheduler == "none":
            return [self.epochs]
        return rungs(self.epochs, self.search.trials, self.search.eta)

    def check(self) -> None:
        """Make the cells at the bounds of the space; raises what is wrong with a value."""
        for place in range(max(len(domain.values) for domain in self.space.values())):
            self.make(
                {name: d.values[min(place, len(d.values) - 1)] for name, d in self.space.items()}
            )

    def steps(self, settled: Mapping[str, float | None]) -> Steps:
        """Return what follows from the scores of trials.

        Args:
            settled: See `settled_trials`.
        """
        example = self.make({name: domain.values[0] for name, domain in self.space.items()})
        mark = self.search.mark(self.space, self.seed)

        def trial(number: int, values: Values, until: int, since: int) -> Cell:
            facts = {"study": mark["space"], "number": number, "until": until, "since": since}
            return replace(self.make(values), seed=self.seed, trial=facts)

        def told(batch: Mapping[int, Values]) -> dict[int, float | None]:
            ids = {n: trial(n, values, self.levels[0], 0).id for n, values in batch.items()}
            return {number: settled[one] for number, one in ids.items() if one in settled}

        field = dict(
            enumerate(
                proposals(
                    self.search,
                    self.space,
                    place=(self.seed, example.task, example.method),
                    direction=self.direction,
                    told=told,
                )
            )
        )
        drawn, cells, since = len(field), list[Cell](), 0
        final: tuple[Cell, ...] = ()
        waiting: set[str] = set()
        for place, until in enumerate(self.levels, start=1):
            now = {n: trial(n, values, until, since) for n, values in field.items()}
            cells += now.values()
            if drawn < self.search.trials or any(one.id not in settled for one in now.values()):
                # Those that are done may be promoted, and the others go on from those before.
                waiting = {one.id for one in now.values()}
                waiting |= {one.goes_on_from or "" for one in now.values() if one.id not in settled}
                break
            last = until == self.levels[-1]
            count = 1 if last else max(1, self.search.trials // self.search.eta**place)
            best = promoted({n: settled[one.id] for n, one in now.items()}, self.direction, count)
            if not best:
                break
            if last:
                chosen = replace(self.make(field[best[0]]), tuned=mark)
                final = tuple(replace(chosen, seed=seed) for seed in self.seeds)
                break
            field, since = {number: field[number] for number in sorted(best)}, until
        return Steps(
            trials=tuple(cells),
            spent=frozenset({one.id for one in cells} - waiting),
            final=final,
            note=self._note(example, cells, settled, found=bool(final), open=bool(waiting)),
        )

    def _note(
        self,
        example: Cell,
        cells: Sequence[Cell],
        settled: Mapping[str, float | None],
        *,
        found: bool,
        open: bool,
    ) -> str:
        search, levels = self.search, self.levels
        done = [one for one in cells if one.id in settled]
        spent = sum(one.trial["until"] - one.trial["since"] for one in done)
        counts = [max(1, search.trials // search.eta**place) for place in range(len(levels))]
        epochs = [until - since for until, since in zip(levels, [0, *levels], strict=False)]
        budget = sum(count * length for count, length in zip(counts, epochs, strict=True))
        how = (
            f"successive halving at epochs {', '.join(map(str, levels))}"
            if len(levels) > 1
            else f"all to epoch {self.epochs}"
        )
        then = f"{len(self.seeds)} cell(s) with the best configuration"
        state = f"{then} follow" if open or found else "all of its trials failed: no cell follows"
        if found:
            state = f"{then} are planned"
        return (
            f"Search for {example.method} on {example.task}: {search.trials} trials, "
            f"{search.algorithm}, {how}; {spent} of {budget} epochs spent, "
            f"{len(done)} of {sum(counts)} steps done; {state}."
        )


def settled_trials(table: pa.Table) -> dict[str, float | None]:
    """Return the trials that have reported: their score on validation, None if they failed.

    Args:
        table: Rows of the ledger.
    """
    return {
        one.cell_id: one.value
        for one in results(table, split="val", trials=True)
        if one.state == "ok" or one.failure not in _UNDECIDED
    }


def parted(values: Values) -> tuple[Values, dict[str, Any]]:
    """Return the fields of the recipe among chosen values, and the options, nested by dots."""
    recipe: Values = {}
    options: dict[str, Any] = {}
    for name, value in values.items():
        if not name.startswith(OPTIONS):
            recipe[name] = value
            continue
        *parents, leaf = name.removeprefix(OPTIONS).split(".")
        below = options
        for parent in parents:
            below = below.setdefault(parent, {})
        below[leaf] = value
    return recipe, options
