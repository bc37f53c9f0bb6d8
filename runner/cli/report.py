"""`xmft figures`: pictures of predictions."""

from __future__ import annotations

from typing import Annotated

import typer

from runner.cli.options import MethodFilter, Results, TaskFilter, globs, guarded
from runner.console import console, say
from xmft.errors import RequestError


@guarded
def figures(
    results: Results = "results",
    tasks: TaskFilter = [],
    methods: MethodFilter = [],
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="seed of the cells [the lowest there is]")
    ] = None,
    sample: Annotated[
        int, typer.Option(metavar="N", min=0, help="place in the test split; cells keep 3 or fewer")
    ] = 0,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder or URI [figures, in the results]")
    ] = None,
) -> None:
    """Draw input, truth, prediction and error of a test sample.

    There is one picture for each dense task, origin of its data and protocol.
    """
    from runner.ledger import Ledger
    from runner.report.figures import pictures, write_figures
    from runner.storage import Storage

    ledger = Ledger(results)
    table = ledger.read()
    if not table.num_rows:
        raise RequestError("The ledger holds no results. `xmft run quick` fills it.")
    folder = Storage(f"{ledger.uri}/figures" if out is None else out)
    shown = pictures(
        table, ledger.examples, tasks=globs(tasks), methods=globs(methods), seed=seed, sample=sample
    )
    with console.status("drawing"):
        written = write_figures(shown, folder)
    if not written:
        raise RequestError(
            f"None of the chosen cells keeps its prediction of sample {sample}: finished cells of "
            "dense tasks keep those of the first few. "
            "Cells from before there were pictures get theirs with `xmft run GRID --force`."
        )
    for path in written:
        say(f"{folder.uri}/{path}")
