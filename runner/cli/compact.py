"""`xmft compact`: many attempts of the ledger in one file."""

from __future__ import annotations

import typer

from runner.cli.options import Results, example, guarded
from runner.console import console, say
from xmft.errors import RequestError


@guarded
def compact(results: Results = "results") -> None:
    """Gather the finished attempts of the ledger into one file, so that it is quick to read.

    `xmft run` does it by itself at the end of large runs. It may be interrupted, and cells may run
    meanwhile: at each moment every result is in at least one whole file.
    """
    from runner.compaction import compact as gather
    from runner.ledger import Ledger

    with console.status("compacting"):
        done = gather(Ledger(results))
    if not done.files:
        raise RequestError("The ledger holds no results. `xmft run quick` fills it.")
    say(f"{done.attempts} new attempts compacted; the ledger has {done.files} compact file(s)")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=example("xmft compact", "xmft compact --results s3://bucket/results"))(
        compact
    )
