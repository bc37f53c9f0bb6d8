"""`python -m runner.cli.readme`: make the table and the picture of the quick start again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from runner.cli.options import guarded
from runner.console import plain_streams, say
from runner.ledger import Ledger
from runner.report.compare import build
from runner.report.quickstart import kept, quickstart, read_kept, write_kept
from runner.report.study import fill

_KIND = "errors"


@guarded
def main(
    results: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="ledger of `xmft run quick` [the rows that are kept]"),
    ] = None,
    document: Annotated[Path, typer.Option(metavar="FILE")] = Path("README.md"),
    rows: Annotated[Path, typer.Option(metavar="FILE", help="the rows that are kept")] = Path(
        "docs/quickstart.parquet"
    ),
    images: Annotated[Path, typer.Option(metavar="DIR")] = Path("docs/images"),
) -> None:
    """Put the leaderboard of the quick start and its picture between the README's markers."""
    if results is not None:
        write_kept(kept(Ledger(results).read()), rows)
    table = read_kept(rows)
    from runner.report.plots.collect import plots

    # The plot of errors asks for nothing but rows.
    picture = next(iter(plots(build(table), table, Ledger(str(rows.parent)), kinds=(_KIND,))), None)
    source = images / "quickstart.svg"
    if picture is not None:
        images.mkdir(parents=True, exist_ok=True)
        source.write_bytes(picture.svg)
        source.with_suffix(".png").write_bytes(picture.png)
    text = document.read_text(encoding="utf-8")
    filled = fill(text, {"quickstart": quickstart(table, picture, source.as_posix())})
    document.write_text(filled, encoding="utf-8")
    say(f"{document}: the quick start is that of {results or rows}")


if __name__ == "__main__":
    plain_streams()
    typer.run(main)
