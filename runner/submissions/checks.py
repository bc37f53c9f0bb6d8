"""Checks of a submission: is it whole, does it say the same everywhere, can its numbers be?

A check says `ok`, `failed`, or `note`: what this version cannot judge, such as a method that it
does not have, or what a reader should know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from runner.attempt_files import conformed
from runner.cell import Cell
from runner.ledger import Ledger
from runner.results import results
from runner.schema import SCHEMA
from runner.submissions.content import CURVES, wrong_configurations, wrong_ids
from runner.submissions.digests import cell_digests, table_digest
from runner.submissions.making import file_digests
from runner.submissions.privacy import PRIVATE
from runner.submissions.reading import Submission, differences
from runner.submissions.row_checks import (
    CLOCKS,
    cells_in,
    time_in,
    told_counts,
    wrong_attempts,
    wrong_counts,
    wrong_examples,
    wrong_origins,
    wrong_times,
    wrong_values,
)
from runner.submissions.statement import Unusable

# More of one kind are told in number.
_MOST = 3


@dataclass(frozen=True, kw_only=True)
class Check:
    """What a check found.

    Attributes:
        name: What was checked.
        state: `ok`, `failed` or `note`.
        detail: What was found, one line.
    """

    name: str
    state: Literal["ok", "failed", "note"]
    detail: str


def verified(submission: Submission, *, now: datetime | None = None) -> list[Check]:
    """Check a submission; what depends on what is broken is left out.

    Args:
        submission: The file.
        now: The time, for what cannot lie after it.

    Raises:
        RequestError: there is no such file, or it was written by a newer version.
    """
    try:
        statement, table = submission.content()
    except Unusable as error:
        return [Check(name="file", state="failed", detail=str(error))]
    by = statement["by"] or "nobody by name"
    checks = [
        Check(
            name="file",
            state="ok",
            detail=f"submission {statement['version']}, schema {statement['schema_version']}, by "
            f"{by}, {statement['created_at']}, xmft {statement['xmft']}, revision "
            f"{statement['git_revision']}",
        ),
        _check("digests", f"{len(statement['cells'])} cells", differences(statement, table)),
    ]
    rows = conformed(table, SCHEMA.names).to_pylist()
    cells = cells_in(rows)
    checks.append(_check("ids", f"{len(cells)} recomputed", wrong_ids(rows)))
    if checks[-1].state == "failed":
        return checks
    made = time_in(statement["created_at"]) or now or datetime.now(UTC)
    latest = min(made, now or datetime.now(UTC)) + CLOCKS
    found: list[tuple[str, str, Iterator[str]]] = [
        ("configuration", "every row says what its cell says", wrong_configurations(rows, cells)),
        ("attempts", "ok ones have scores, failed ones a reason", wrong_attempts(rows, cells)),
        ("counts", told_counts(statement["counts"]), wrong_counts(table, statement)),
        ("origins", "one for the same data", wrong_origins(rows, cells)),
        ("values", "finite and in the range of their metric", wrong_values(rows, cells)),
        ("times", "in order", wrong_times(rows, latest)),
        ("examples", "can be read", wrong_examples(table)),
    ]
    checks += [_check(name, fine, problems) for name, fine, problems in found]
    return [*checks, *_known(cells), *_gaps(table)]


def against(submission: Submission, ledger: Ledger) -> Check:
    """Compare a submission with the ledger that it was made of.

    Raises:
        RequestError: it is not as it was signed off.
    """
    signed = submission.statement["cells"]
    # What is private is another text on another machine; the digests of the files hold it as well.
    columns = [name for name in submission.statement["columns"] if name not in PRIVATE]
    handed = cell_digests(submission.read(), columns)
    rows = ledger.read()
    own = rows.filter(pc.is_in(rows["cell_id"], value_set=pa.array(sorted(signed), pa.string())))
    found = cell_digests(own, columns)

    def problems() -> Iterator[str]:
        for cell_id, said in sorted(signed.items()):
            try:
                files = file_digests(ledger, cell_id, sorted(said["files"]))
            except OSError as error:
                yield f"files of cell {cell_id} cannot be read there ({ledger.storage.told(error)})"
                continue
            if cell_id not in found:
                yield f"cell {cell_id} is not in {ledger.shown}"
            elif found[cell_id] != handed[cell_id]:
                yield f"the rows of cell {cell_id} are others there"
            elif said[CURVES] and table_digest(ledger.curves(cell_id)) != said[CURVES]:
                yield f"the curves of cell {cell_id} are others there"
            for path in sorted(files.keys() & said["files"].keys()):
                if files[path] != said["files"][path]:
                    yield f"{path} is another file there"

    return _check("against", f"{len(signed)} cells are as in {ledger.shown}", problems())


def _check(name: str, fine: str, problems: Iterator[str]) -> Check:
    try:
        found = list(problems)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        found = [f"what it says cannot be read ({type(error).__name__}: {error})"]
    if not found:
        return Check(name=name, state="ok", detail=fine)
    return Check(name=name, state="failed", detail=_some(found))


def _some(found: Sequence[str]) -> str:
    """Return the first of what was found, and how many more there are."""
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return "; ".join(found[:_MOST]) + more


def _known(cells: Mapping[str, Cell]) -> Iterator[Check]:
    """Tell what this installation does not have, or has in another version."""
    from benchmarks.catalog import TASKS, get
    from xmft.methods import METHODS
    from xmft.metrics import METRICS

    def task(name: str) -> int | None:
        base = name.partition(":")[0]
        return get(base).task.version if base in TASKS else None

    def method(name: str) -> int | None:
        base = name.partition(":")[0]
        return METHODS[base].version if base in METHODS else None

    def metric(name: str) -> int | None:
        return METRICS[name].version if name in METRICS else None

    kinds: dict[str, tuple[Callable[[str], int | None], set[tuple[str, int]]]] = {
        "tasks": (task, {(cell.task, cell.task_version) for cell in cells.values()}),
        "methods": (method, {(cell.method, cell.method_version) for cell in cells.values()}),
        "metrics": (
            metric,
            {one for cell in cells.values() for one in dict(cell.metric_versions).items()},
        ),
    }
    for kind, (of, pairs) in kinds.items():
        other = [
            f"{name} v{version} (here {'none' if of(name) is None else f'v{of(name)}'})"
            for name, version in sorted(pairs)
            if of(name) != version
        ]
        detail = f"not of this version of xmft: {', '.join(other)}" if other else f"{len(pairs)}"
        yield Check(name=f"known {kind}", state="note" if other else "ok", detail=detail)


def _gaps(table: pa.Table) -> Iterator[Check]:
    """Tell which methods lack seeds or tasks that others have."""
    found = results(table)
    seeds: dict[str, set[int]] = {}
    for cell in found:
        seeds.setdefault(cell.task, set()).add(cell.seed)
    have = {(cell.method, cell.task, cell.seed) for cell in found if cell.state == "ok"}
    lacking = [
        f"{method} lacks {task} seed {seed}"
        for method in sorted({cell.method for cell in found})
        for task, own in sorted(seeds.items())
        for seed in sorted(own)
        if (method, task, seed) not in have
    ]
    if lacking:
        yield Check(name="coverage", state="note", detail=_some(lacking))
