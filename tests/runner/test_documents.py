"""LaTeX, HTML and Arrow: what they hold, and what names cannot do to them."""

import json
import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from runner.report.export import write_boards
from runner.report.html import to_html
from runner.report.latex import to_latex
from runner.report.long_table import LONG_SCHEMA, long_table
from runner.visible import in_latex
from tests.runner.boards import ADVECTION, THREE, build, cell, floored, grid, ledger

HOSTILE = "</td><script>alert(1)</script>&amp;\\input{/etc/passwd}_%$#^~{}\x1b[2J é 中"
_VOID = {"meta", "br"}


def hostile():
    return build(
        ledger(
            *[cell("orca", "s/a", seed, 0.1, method_config={"loss": HOSTILE}) for seed in (0, 1)],
            *[cell("orca", "s/a", seed, 0.2, method_config={"loss": "b"}) for seed in (0, 1)],
            cell("nft", "s/a", 0, None, failure="oom"),
        )
    )


class Document(HTMLParser):
    """Checks that tags are closed in order, and keeps tables as lists of texts."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.tables = [], set(), []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


def test_html_holds_the_board_and_no_more():
    boards = build(ledger(*floored(), cell("mona", ADVECTION, 0, 0.9)))
    document = Document(to_html(boards, ledger="results", published=False))
    ranked, unranked = document.tables
    assert ranked[0][:3] == ["average rank", "95 % interval", "entry"]
    assert ranked[0][3] == f"{ADVECTION}\nnrmse ↓ · 2 seeds\nfloor 1.5e-04"
    assert [row[2] for row in ranked[1:]] == ["orca", "nft"]
    assert ranked[1][3] == "0.2000 ± 0.0141 (1)"
    assert unranked[1][:2] == ["mona", "0.9000 [1 of 2 seeds]"]
    assert "script" not in document.tags and "link" not in document.tags
    (_, _, published) = Document(to_html(boards, ledger="results")).tables
    assert published[1][:4] == ["pdebench/advection", "nrmse", "RECRAFT", "0.0078"]


def test_names_do_nothing_in_html():
    text = to_html(hostile(), ledger="<i>results</i>")
    document = Document(text)
    assert {"script", "i"} & document.tags == set()
    names = [place for row in document.tables[0][1:] for place in row]
    assert any("</td><script>alert(1)</script>&amp;" in name for name in names)
    assert "\x1b" not in text


def unescaped(text):
    """Characters that LaTeX would obey in a text that was escaped."""
    allowed = re.sub(r"\\(ensuremath\{\\[a-z]+\}|[a-zA-Z]+\{\}|[{}$&#%_])|\{[-?!*[\]]\}", "", text)
    return set(allowed) & set("\\{}$&#%_^~")


@pytest.mark.parametrize("text", [HOSTILE, "a--b ?` ''x'' \"q\" <<>> |", "± \u00d7 ↓ → 10^3"])
def test_latex_obeys_nothing_in_a_text(text):
    shown = in_latex(text)
    assert unescaped(shown) == set()
    assert all(ord(character) < 256 for character in shown) and "\n" not in shown
    assert unescaped(text) or text.startswith("±") or "^" not in text  # the check can fail


@pytest.mark.parametrize("name", ["[x] y", "*star", "中文", "[5pt]"])
def test_a_name_at_the_start_of_a_row_is_no_argument_of_the_row_before(name):
    cells = [cell(method, "s/a", 0, value) for method, value in (("orca", 0.1), (name, 0.2))]
    text = to_latex(build(ledger(*cells)), ledger="r", published=False)
    starts = [line for line in text.splitlines() if line.lstrip().startswith(("[", "*"))]
    assert starts == [] and not re.search(r"\\item *\[", text)
    assert f" {in_latex(name)} " in text


def test_latex_has_a_row_for_each_entry_in_each_tabular():
    boards = build(ledger(*grid(THREE), cell("mona", "s/a", 0, 0.9)))
    text = to_latex(boards, ledger="x\n\\input{y}", published=False)
    assert "\n\\input" not in text  # the name of the ledger stays in its comment
    tabulars = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert len(tabulars) == 4  # what sums up and scores, of ranked and of unranked ones
    for columns, body in tabulars:
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        assert all(len(row.split(" & ")) == len(columns) for row in rows)
        for rule in ("toprule", "midrule", "bottomrule"):
            assert body.count(f"\\{rule}") == 1
    scores = tabulars[1][1]
    assert "orca & \\textbf{0.1000 \\ensuremath{\\pm} 0.0141} (1)" in scores
    assert "mona lacks" in text


def test_many_lines_and_tasks_are_parted_over_floats():
    values = {f"m{n}": {f"s/t{t}": 0.1 + n for t in range(9)} for n in range(90)}
    text = to_latex(build(ledger(*grid(values, seeds=(0,)))), ledger="r", published=False)
    assert text.count("\\begin{table}") == text.count("\\end{table}")
    for body in re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL):
        assert body.count("\\\\\n") <= 50
    assert len(re.findall(r"^(?:.* & )?m7 & ", text, re.MULTILINE)) == 4
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert labels == ["tab:s-generated"]


def test_arrow_says_what_was_asked_and_with_what(tmp_path):
    boards = build(ledger(*grid(THREE)), tasks=["s/*"], results=["my results", "b"])
    path = tmp_path / "board.arrow"
    write_boards(boards, path, format="arrow", ledger="my results")
    table = pa.ipc.open_file(path).read_all()
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    assert facts["xmft_leaderboard_version"] == "2"
    assert (facts["protocol"], facts["selection"]) == ("clean", "best_val")
    assert facts["data_origins"] == "generated"
    assert facts["command"] == (
        "xmft leaderboard --results 'my results' b --tasks 's/*' --format arrow --published"
    )
    assert json.loads(facts["versions"])["pyarrow"] == pa.__version__
    assert json.loads(facts["statistics"])["s-generated"][0].startswith("Friedman")
    assert all(field.metadata[b"description"] for field in LONG_SCHEMA)
    assert table.schema.remove_metadata() == LONG_SCHEMA.remove_metadata()


def test_the_long_table_holds_what_the_lines_do():
    (board,) = build(ledger(*grid(THREE), cell("mona", "s/a", 0, None, failure="oom")))
    rows = {(row["entry"], row["task"]): row for row in long_table([board]).to_pylist()}
    for line in board.ranked:
        for task, score in line.scores.items():
            row = rows[line.label, task]
            assert (row["rank_low"], row["rank_high"]) == line.rank_interval
            assert (row["win_rate"], row["normalised"]) == (line.win_rate, line.normalised)
            assert (row["not_worse"], row["rank"]) == (score.close, score.rank)
    mona = rows["mona", "s/a"]
    assert (mona["failure"], mona["not_worse"], mona["mean"]) == ("oom", None, None)
    assert {row["board"] for row in rows.values()} == {board.name}
