"""What a stranger's ledger says is shown and not obeyed, whatever it is written to."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from markdown_it import MarkdownIt
from pyarrow import csv as arrow_csv
from rich.table import Table
from rich.text import Text

from runner import console as consoles
from runner.console import VisibleConsole
from runner.ledger import Ledger
from runner.report import drawing
from runner.visible import for_spreadsheets, in_markdown, in_spreadsheet, visible
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import xmft

STEERING = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear": "\x1b[2J\x1b[H",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "c1": "\x9b31mred",
    "carriage return": "failed\rok",
    "backspace": "failed\b\b\b\b\b\bok",
    "bell": "ding\a",
    "right to left": "abc\u202edcba",
    "isolate": "abc\u2066x\u2069",
    "line separator": "a\u2028b",
    "tags": "a\U000e0041b",
    "nul": "a\0b",
}
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069\U000e0041]")
MARKUP = "[bold red]loud[/] [link=http://evil.example]click[/link] :smile:"
HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;"
MARKDOWN = "a|b `c` *d* [e](http://evil.example) ![f](http://evil.example) $x$ ~~g~~ \\\nh"
FORMULAS = ["=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", " =1", "|x"]


@pytest.fixture(params=STEERING.values(), ids=STEERING)
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_steering_characters_are_escapes(hostile: str) -> None:
    assert STEERS.search(hostile)
    assert not STEERS.search(visible(hostile))
    # Nothing is lost: each is there as an escape of Python's own.
    for character in STEERS.findall(hostile):
        assert ascii(character)[1:-1] in visible(hostile)


def test_text_without_them_stays_as_it_is() -> None:
    for text in ("nrmse ± 0.1 ↓ · λ", "two\nlines\tand a tab", "日本語 😀", ""):
        assert visible(text) == text


def printed(show: Callable[[VisibleConsole], None]) -> str:
    """What a terminal gets, colours and all."""
    console = VisibleConsole(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    show(console)
    return str(console.file.getvalue())


def test_no_way_to_print_lets_a_terminal_obey(hostile: str) -> None:
    def show(console: VisibleConsole) -> None:
        console.print(hostile)
        console.print(Text(hostile))
        table = Table(hostile, title=hostile)
        table.add_row(hostile, style="bold")
        table.add_row(Text(hostile))
        console.print(table)

    assert not STEERS.search(printed(show))


def test_markup_is_text() -> None:
    def show(console: VisibleConsole) -> None:
        console.print(MARKUP)
        table = Table("x")
        table.add_row(MARKUP)
        console.print(table)

    assert printed(show).count(MARKUP) == 2


def test_what_is_said_and_complained(
    hostile: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for say in (consoles.say, consoles.complain, consoles.hand_over):
        say(hostile)
    both = capsys.readouterr()
    assert not STEERS.search(both.out + both.err)
    assert both.out.count(visible(hostile)) == 2


@pytest.fixture
def strange(ledger: Ledger) -> Ledger:
    """A ledger whose every free text is hostile."""
    bad = "".join(STEERING.values()).replace("\0", "") + HTML + MARKUP + MARKDOWN
    for seed in (0, 1):
        cell = cell_of(seed=seed, backbone=bad, source=bad, method_config={"=1+1": bad})
        score = score_of(0.5)
        ledger.write_attempt(attempt_of(cell, score, host=bad, device=bad, versions={bad: bad}))
    other = cell_of(method="nft", backbone=f"=2{bad}")
    ledger.write_attempt(attempt_of(other, failure="data", error=f"=3{bad}", host=bad))
    return ledger


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["show", "CELL"],
        ["leaderboard"],
        *(["leaderboard", "--format", name] for name in ("md", "csv")),
        ["export", "--to", "OUT/rows.csv"],
        ["leaderboard", "--format", "table", "--out", "OUT/board.txt"],
        ["leaderboard", "--format", "md", "--out", "OUT/board.md"],
    ],
    ids=" ".join,
)
def test_every_command_that_shows_a_ledger(
    command: list[str], strange: Ledger, tmp_path: Path
) -> None:
    cell = next(iter(strange.states()))
    words = [word.replace("CELL", cell).replace("OUT", str(tmp_path)) for word in command]
    result = xmft(*words, "--results", strange.uri)
    assert result.exit_code == 0, result.output
    said = result.output
    for path in (*tmp_path.glob("rows.csv"), *tmp_path.glob("board.*")):
        said += path.read_text(encoding="utf-8")
    assert not STEERS.search(said)
    if "md" in command:
        document = re.sub(r"<!--.*?-->", "", said, flags=re.DOTALL).replace("<br>", "")
        assert not re.search(r"<[a-z/!]", document)
        assert not re.search(r"(?<!\\)\]\(", document)


def test_markdown_shows_what_was_written() -> None:
    safe = in_markdown(MARKDOWN + HTML)
    assert "\n" not in safe
    assert "<" not in safe
    plain = html.unescape(re.sub(r"\\(.)", r"\1", safe))
    assert plain == " ".join((MARKDOWN + HTML).split())
    for mark in "`*$[]~":
        assert not re.search(rf"(?<!\\){re.escape(mark)}", safe)


NAMES = [
    "_evil_",
    "__init__ _x y_",
    "a_b_c",
    "# head",
    "1. x",
    "12) x",
    "- x",
    "+ x",
    "1.5 is 3.2",
    "https://example.org/x_y",
    "WWW.example.org",
    "me@example.org",
    "<https://x.y>",
    "a * b ** c ~~d~~",
]


@pytest.mark.parametrize("text", NAMES)
def test_a_renderer_makes_nothing_but_text_of_a_name(text: str) -> None:
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(f"* {in_markdown(text)}")
    assert re.sub(r"</?(ul|li|p)>|\n", "", shown) == html.escape(text, quote=False)
    # What becomes a link without any mark does so by these.
    assert not re.search(r"https?://|www\.|(?<!\\)@", in_markdown(text), re.IGNORECASE)


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_text_in_csv(text: str) -> None:
    table = pa.table({"text": [text, None, "plain"], "number": [-1.5, 2.0, None]})
    sink = io.BytesIO()
    arrow_csv.write_csv(for_spreadsheets(table), sink)
    rows = list(csv.reader(io.StringIO(sink.getvalue().decode())))
    assert rows[1] == ["'" + visible(text), "-1.5"]
    assert rows[2:] == [["", "2"], ["plain", ""]]


def test_numbers_in_texts_stay_numbers() -> None:
    for text in ("-1.5", "+2", "-3e-4", "a-b", "1=2", "x@y"):
        assert in_spreadsheet(text) == text


def test_a_figure_takes_no_name_for_a_formula() -> None:
    from matplotlib.figure import Figure

    sheet = drawing._Sheet(figure=Figure(figsize=(2, 2)), width=2.0, height=2.0)
    sheet.text(0.1, 0.1, r"$\frac{1}{$ \x1b[31m" + "\x1b", size=8)
    sheet.figure.savefig(io.BytesIO(), format="png")
