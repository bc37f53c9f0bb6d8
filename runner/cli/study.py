"""`python -m runner.cli.study`: rebuild the tables of a document."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from runner.cli.list_command import ListCommand
from runner.cli.options import HERE, Readings, globs, guarded, opened, places_of
from runner.console import plain_streams, say
from runner.report.study import fill, tables
from runner.schema import SELECTIONS
from xmft.errors import RequestError
from xmft.registry import nearest


@guarded
def main(
    document: Annotated[Path, typer.Option(metavar="FILE", help="Markdown with table markers")],
    results: Readings = HERE,
    selection: Annotated[str, typer.Option(help="best_val or last")] = "best_val",
    ours: Annotated[str, typer.Option(metavar="METHOD", help="set against all others [none]")] = "",
    head_trained: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD", help="its stage 1 trains the head: a b, or a,b"),
    ] = None,
) -> None:
    """Put the tables of a ledger between the markers of a document."""
    from xmft.methods import METHODS  # with torch, which no reader of ledgers needs

    if selection not in SELECTIONS:
        raise RequestError(f"Unknown selection '{selection}'. {nearest(selection, SELECTIONS)}")
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"The document {document} cannot be read ({type(error).__name__}). It has to exist; "
            "the tables go between its markers."
        ) from None
    ledger = opened(results)
    rows = ledger.read()
    found = set(rows.column("method").to_pylist())
    _known(ours and [ours], found, "--ours: the results have no")
    _known(globs(head_trained or []), METHODS, "--head-trained: unknown method")
    filled = fill(
        text,
        tables(
            rows,
            selection=selection,
            ours=ours,
            head_trained=globs(head_trained or []),
        ),
    )
    try:
        document.write_text(filled, encoding="utf-8")
    except OSError as error:
        raise RequestError(f"The document {document} cannot be written ({error}).") from None
    say(f"{document}: the tables are those of {', '.join(places_of(ledger))}")


def _known(names: Sequence[str], known: Collection[str], told: str) -> None:
    for name in names:
        if name not in known:
            raise RequestError(f"{told} '{name}'. {nearest(name, sorted(known))}")


if __name__ == "__main__":
    plain_streams()
    app = typer.Typer(add_completion=False)
    app.command(cls=ListCommand)(main)
    app()
