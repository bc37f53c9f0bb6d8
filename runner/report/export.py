"""The formats that leaderboards and the ledger's rows are written in: one table for each.

A format is added here and nowhere else: help and error texts are made of the tables. What a
writer needs is imported when it writes, so that a command can name the formats at once.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.visible import for_spreadsheets
from xmft.errors import RequestError
from xmft.registry import nearest

if TYPE_CHECKING:
    import pyarrow as pa

    from runner.report.compare import Leaderboard


# A file is as wide as its tables.
_WIDE = 1000


def _text(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    from runner.console import VisibleConsole
    from runner.report.terminal import to_terminal

    console = VisibleConsole(file=io.StringIO(), width=_WIDE, record=True)
    console.print(to_terminal(boards, published=published))
    return console.export_text().encode("utf-8")


def _markdown(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    from runner.report.markdown import to_markdown

    return to_markdown(boards, ledger=ledger, published=published).encode("utf-8")


def _latex(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    from runner.report.latex import to_latex

    return to_latex(boards, ledger=ledger, published=published).encode("utf-8")


def _html(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    from runner.report.html import to_html

    return to_html(boards, ledger=ledger, published=published).encode("utf-8")


def _csv(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    from runner.report.long_table import to_csv

    return to_csv(boards, published=published).encode("utf-8")


def _arrow(boards: Sequence[Leaderboard], ledger: str, published: bool) -> bytes:
    import pyarrow as pa

    from runner.report.long_table import long_table

    table = long_table(boards, published=published)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _parquet_rows(table: pa.Table, path: str) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path)


def _csv_rows(table: pa.Table, path: str) -> None:
    from pyarrow import csv

    csv.write_csv(for_spreadsheets(table), path)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of leaderboards.

    Attributes:
        content: From the boards, where their results lie, and whether to set published numbers
            underneath, to the content of a file.
        ends: What follows the content where a command shows it; None: it is not shown.
    """

    content: Callable[[Sequence[Leaderboard], str, bool], bytes]
    ends: str | None = None


# The first one is for the terminal.
BOARD_FORMATS: dict[str, Format] = {
    "table": Format(content=_text),
    "md": Format(content=_markdown, ends="\n"),
    "tex": Format(content=_latex, ends=""),
    "html": Format(content=_html),
    "csv": Format(content=_csv, ends=""),
    "arrow": Format(content=_arrow),
}
ROW_FORMATS: dict[str, Callable[[pa.Table, str], None]] = {
    ".parquet": _parquet_rows,
    ".csv": _csv_rows,
}


def board_format(name: str) -> Format:
    """Return a format of leaderboards.

    Raises:
        RequestError: there is none of that name.
    """
    if name not in BOARD_FORMATS:
        raise RequestError(f"Unknown format '{name}'. {nearest(name, BOARD_FORMATS)}")
    return BOARD_FORMATS[name]


def check_local(path: Path, option: str) -> None:
    """Refuse a URI where a file of this machine is meant, without showing the keys in it.

    Raises:
        RequestError: it is one.
    """
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]+(?=:[\\/])", str(path))
    if scheme:
        raise RequestError(
            f"{option} names a file of this machine, found a URI, {scheme[0]}://...: name a file, "
            "and copy it there."
        )


def write_boards(
    boards: Sequence[Leaderboard],
    path: str | Path,
    *,
    format: str,
    ledger: str,
    published: bool = True,
) -> bytes:
    """Write leaderboards to a file and return its content.

    Args:
        boards: What `build` returned.
        path: The file; its folder is made if need be.
        format: One of `BOARD_FORMATS`.
        ledger: Where the results lie, for documents that name it.
        published: Whether to set published numbers underneath.

    Raises:
        RequestError: the format is unknown or the file cannot be written.
    """
    check_local(Path(path), "--out")
    target, content = Path(path), board_format(format).content(boards, ledger, published)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise RequestError(
            f"The leaderboard cannot be written to {target} ({error}). "
            "Name a writable file with --out."
        ) from error
    return content


def write_rows(table: pa.Table, path: Path) -> None:
    """Write the ledger's rows to a file, in one of `ROW_FORMATS` by the ending of its name.

    Raises:
        RequestError: another ending, no rows, or the file cannot be written.
    """
    check_local(path, "--to")
    writer = ROW_FORMATS.get(path.suffix)
    if writer is None:
        raise RequestError(f"--to ends in '{path.suffix}'. {nearest(path.suffix, ROW_FORMATS)}")
    if not table.num_rows:
        raise RequestError("The ledger holds no results. `xmft run quick` fills it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(table, str(path))
    except OSError as error:
        raise RequestError(f"The rows cannot be written to {path} ({error}).") from error
