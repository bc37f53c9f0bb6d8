"""`xmft submit-results` and `verify-results`: results that go from lab to lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from runner.cli.data_root import data_root
from runner.cli.list_command import ListCommand
from runner.cli.options import (
    Data,
    MethodFilter,
    Plugins,
    Results,
    SeedFilter,
    Settings,
    TaskFilter,
    concluded,
    example,
    globs,
    guarded,
    import_plugins,
    plain_table,
    whole_numbers,
)
from runner.console import complain, console, say
from xmft.errors import RequestError

if TYPE_CHECKING:
    from runner.submissions.checks import Check


@guarded
def submit_results(
    to: Annotated[str, typer.Option("--to", metavar="FILE", help="*.parquet: a path or a URI")],
    results: Results = "results",
    by: Annotated[str, typer.Option(metavar="NAME", help="who signs off, and which lab")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="what a reader should know")] = "",
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seeds: SeedFilter = [],
    examples: Annotated[
        bool, typer.Option("--examples", help="predictions of a few samples go with it")
    ] = False,
) -> int:
    """Write the results of a ledger to one file that others can check and merge.

    It has all attempts at the chosen cells, their curves, who and which code, and a digest of each
    cell. Machines become host-1, host-2; people, homes and addresses lose their names, places all
    but the name of a file, URIs keys and queries, in tracebacks too. Everything else in the
    ledger's rows goes with it, plug-ins by name and not by text: look at what you hand on. Others
    read it as `--results FILE`.
    """
    from runner.ledgers import ledger_at
    from runner.provenance import provenance
    from runner.report.select import chosen
    from runner.results import RESULT_COLUMNS
    from runner.results import results as cells_in
    from runner.submissions.making import Provenance, submission, to_parquet, write
    from runner.submissions.reading import ENDING
    from runner.uri import shown

    if not to.partition("?")[0].endswith(ENDING):
        raise RequestError(
            f"--to is '{shown(to)}', which does not end in {ENDING}: a submission does."
        )
    ledger = ledger_at(results, "--results")
    table = ledger.rows(RESULT_COLUMNS)
    if not table.num_rows:
        raise RequestError(
            f"The ledger {ledger.shown} holds no results. `xmft run quick` fills it."
        )
    asked: dict[str, Any] = {
        "tasks": globs(tasks),
        "methods": globs(methods),
        "seeds": whole_numbers(seeds),
    }
    found = cells_in(table) + cells_in(table, split="val", trials=True)
    cells = {cell.cell_id for cell in chosen(found, **asked)}
    if not cells:
        raise RequestError("No cell of the ledger is of these tasks, methods and seeds.")
    if ledger.skipped:
        raise RequestError(
            "Files of the ledger cannot be read, see above: what is signed off must be whole. "
            "Put copies of them back, or delete them, and the cells are run again."
        )
    known = provenance()
    made = submission(
        ledger,
        cells,
        Provenance(
            by=by,
            note=note,
            git_revision=known.git_revision,
            git_dirty=known.git_dirty,
            versions=known.versions,
        ),
        examples=examples,
        asked=asked,
    )
    payload = to_parquet(made)
    digest = write(payload, to)
    say(
        f"{len(cells)} cells, {made.num_rows} rows, {len(payload) / 1e6:.2f} MB written to "
        f"{shown(to)}\n"
        f"sha256 {digest}: tell it with the file, so that others know that it is yours\n"
        f"Check: xmft verify-results {shown(to)}"
    )
    return concluded(ledger)


@guarded
def verify_results(
    file: Annotated[str, typer.Argument(metavar="FILE", help="of xmft submit-results")],
    rerun: Annotated[
        int, typer.Option(metavar="N", min=0, help="make so many cells again, by chance")
    ] = 0,
    cell: Annotated[str | None, typer.Option(metavar="ID", help="make this cell again")] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="of the chance that draws cells")] = 0,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="most relative difference of such a cell [0.05]"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="DIR", help="the ledger that it was made of")
    ] = None,
    data: Data = None,
    settings: Settings = [],
    plugin: Plugins = [],
) -> int:
    """Check a submitted file: whole, consistent, possible; and on request make cells of it again.

    Exit code 1 if a check failed. A digest tells edits and damage, not a forger who makes all
    digests anew: --rerun does.
    """
    from runner.ledger import LedgerError
    from runner.ledgers import ledger_at
    from runner.options import RunOptions
    from runner.submissions.checks import against as compared
    from runner.submissions.checks import verified
    from runner.submissions.reading import Submission
    from runner.submissions.rerun import TOLERANCE, drawn, made_again
    from runner.supervise import LostError
    from runner.terminations import Terminated

    # What was asked is checked whole before anything is told.
    root = data_root(data)
    import_plugins(plugin)
    other = None if against is None else ledger_at(against, "--against")
    submission = Submission(file)
    checks = verified(submission)
    sound = all(check.state != "failed" for check in checks)
    wanted = drawn(submission, rerun, seed) if sound else []
    wanted += [submission.find(cell)] if sound and cell is not None else []
    if sound and other is not None:
        checks.append(compared(submission, other))
    _show(checks)
    for cell_id in wanted:
        try:
            again = made_again(
                submission,
                cell_id,
                root,
                RunOptions(),
                plugins=plugin,
                settings=settings,
                tolerance=TOLERANCE if tolerance is None else tolerance,
            )
        except KeyboardInterrupt:
            complain(f"Interrupted: cell {cell_id} was not made again to its end.")
            return 130
        except Terminated as error:
            complain(f"Ended by {error}: cell {cell_id} was not made again to its end.")
            return 143
        except (LostError, LedgerError) as error:
            complain(f"Cell {cell_id} was not made again to its end: {error}")
            return 1
        checks.append(again)
        _show([again])
    if not sound and (rerun or cell is not None):
        complain("No cell was made again: what is not sound says nothing to compare with.")
    failed = sum(check.state == "failed" for check in checks)
    if failed:
        complain(f"{failed} of {len(checks)} checks failed")
    else:
        say(f"all {len(checks)} checks are passed")
    return 1 if failed else 0


def _show(checks: list[Check]) -> None:
    view = plain_table("check", "", "found")
    styles = {"ok": "green", "failed": "red", "note": "yellow"}
    for check in checks:
        view.add_row(Text(check.name), Text(check.state, styles[check.state]), Text(check.detail))
    console.print(view)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "submit-results",
        cls=ListCommand,
        epilog=example(
            "xmft submit-results --to lab.parquet --by 'A. Name, Lab'",
            "xmft submit-results --to lab.parquet --tasks 'pdebench/*' --seeds 0 1 2",
        ),
    )(submit_results)
    app.command(
        "verify-results",
        cls=ListCommand,
        epilog=example(
            "xmft verify-results lab.parquet", "xmft verify-results lab.parquet --rerun 2"
        ),
    )(verify_results)
