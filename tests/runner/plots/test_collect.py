"""All plots of a ledger: whole files, the same bytes for the same rows, never an exception."""

from __future__ import annotations

import io
import re
import time
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from runner.ledger import Ledger
from runner.report.compare import build
from runner.report.plots.collect import file_name, plots, plots_and_reasons
from runner.report.plots.plot import KINDS, NotDrawn, Plot
from runner.report.query import Query
from tests.runner.boards import cell
from tests.runner.boards import ledger as rows_of
from tests.runner.commands import output_of, refused, xmft
from tests.runner.plots.conftest import Add, waves
from tests.runner.plots.drawings import Nothing, faults, many, table_of
from xmft.errors import RequestError

NO_TERMS = "no cell has measured terms of the bound; RECRAFT's cells measure them"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)<$a_b$ & x^2$\u202e" + "x" * 140
# What no ledger lets in; rows may come from elsewhere.
WORSE = "</svg><script>\x1b[31m\x00\n\ufffe" + "y" * 200


@pytest.fixture
def full(ledger: Ledger, add: Add) -> Ledger:
    """Three methods on two tasks, one with curves and predictions."""
    rng = np.random.default_rng(0)
    for number, method in enumerate(("nft", "orca", HOSTILE)):
        for seed in (0, 1):
            value = 0.1 + number + 0.02 * seed
            truth = waves(2, 5)
            error = 0.1 * (number + 1) * rng.standard_normal(truth.shape)
            curve = [0.9, 0.5 + 0.1 * number]
            add(
                "s/a:<i>$1$",
                method,
                seed,
                value,
                curve=curve,
                truth=truth,
                prediction=truth + error,
            )
            add("s/b", method, seed, value)
    return ledger


def drawn(ledger: Ledger, *kinds: str) -> tuple[list[Plot], list[NotDrawn]]:
    table = ledger.read()
    found = list(plots_and_reasons(build(table), table, ledger, kinds))
    return (
        [one for one in found if isinstance(one, Plot)],
        [one for one in found if isinstance(one, NotDrawn)],
    )


def test_plots_are_whole_files_that_say_what_they_show(full: Ledger) -> None:
    shown, reasons = drawn(full)
    assert [str(reason) for reason in reasons] == [
        "samples (s-generated): no entry learned from several numbers of samples (train_samples of "
        "the recipe)",
        "curves (s-generated, s/b): no entry keeps curves of epochs",
        "fields (s-generated, s/b): no entry keeps predictions of fields",
        "spectra (s-generated, s/b): no entry keeps predictions of fields",
        f"bound (s-generated): {NO_TERMS}",
    ]
    assert {one.kind for one in shown} == set(KINDS) - {"bound", "samples"}
    assert len({one.name for one in shown}) == len(shown)
    for one in shown:
        assert one.board == "s-generated"
        assert (one.task is None) == (one.kind not in ("curves", "fields", "spectra"))
        for text in (one.title, one.caption, one.alt):
            assert text and "\x1b" not in text and "\n" not in text and "\u202e" not in text
        root = ElementTree.fromstring(one.svg)
        width = float(root.attrib["width"].removesuffix("pt")) / 72
        assert min(abs(width - 3.3), abs(width - 6.9)) < 0.01
        texts = ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]
        # Text is text, and no name has become an element.
        assert any("orca" in text for text in texts)
        assert not any(element.tag.endswith("script") for element in root.iter())
        assert one.caption in one.svg.decode().replace("&gt;", ">").replace("&lt;", "<")
        # Nothing is fetched, nothing says when it was made.
        for element in root.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:"))
        assert b"dc:date" not in one.svg and b"<script" not in one.svg
        sizes = [
            float(s) for s in re.findall(r"font(?:-size)?: (?:\d+ )?([\d.]+)px", one.svg.decode())
        ]
        assert sizes and min(sizes) >= 6
        image = Image.open(io.BytesIO(one.png))
        assert image.width == pytest.approx(width * 200, abs=2)
        assert image.text["Title"] == one.title and one.alt in image.text["Description"]


def test_the_same_ledger_gives_the_same_bytes(full: Ledger) -> None:
    kinds = ("errors", "curves", "fields")
    first, second = (drawn(ledger, *kinds)[0] for ledger in (full, Ledger(full.uri)))
    assert {one.kind for one in first} == set(kinds)
    assert [(one.name, one.svg, one.png) for one in first] == [
        (one.name, one.svg, one.png) for one in second
    ]


def test_the_settings_of_the_person_stay_what_they_are_and_change_nothing(full: Ledger) -> None:
    table = full.read()
    (usual,) = plots(build(table), table, full, ["errors"])
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        found = plots(build(table), table, full, ["errors", "time"])
        own = next(found)
        assert dict(matplotlib.rcParams) == before  # while somebody holds the iterator, too
    assert (own.svg, own.png) == (usual.svg, usual.png)


def test_plots_of_a_task_are_drawn_with_its_first_board(ledger: Ledger, add: Add) -> None:
    for task in ("s/a", "t/b"):
        for method in ("nft", "orca"):
            add(task, method, curve=[0.5, 0.4])
    table = ledger.read()
    assert [board.name for board in build(table)] == ["s-generated", "t-generated", "all-generated"]
    shown = list(plots(build(table), table, ledger, ["curves", "critical-difference"]))
    assert [(one.name, one.board, one.task) for one in shown] == [
        ("s-generated/curves/s/a", "s-generated", "s/a"),
        ("t-generated/curves/t/b", "t-generated", "t/b"),
        ("all-generated/critical-difference", "all-generated", None),
    ]
    assert shown[-1].title.endswith("critical difference, all suites, generated data")


def test_a_board_over_origins_shows_the_cells_of_each_task(ledger: Ledger) -> None:
    rows = [
        cell(method, task, 0, value, origin=origin)
        for task, origin in (("s/a", "official"), ("s/b", "generated"))
        for method, value in (("nft", 0.2), ("orca", 0.1))
    ]
    table = rows_of(*rows)
    (one,) = plots(build(table, Query(overall=True))[-1:], table, Nothing(), ["errors"])
    assert one.board == "overall"
    assert one.alt.count("orca 1, nft 2") == 2


def test_kinds_can_be_chosen_and_unknown_ones_are_refused(full: Ledger) -> None:
    table = full.read()
    boards = build(table)
    assert [one.kind for one in plots(boards, table, full, ["profiles", "errors"])] == [
        "profiles",
        "errors",
    ]
    with pytest.raises(RequestError, match=r"no plots 'error'\. Did you mean"):
        plots(boards, table, full, ["error"])


def test_little_gives_reasons_and_no_error() -> None:
    table = table_of({"nft": {"s/a": 0.5}}, seeds=(0,))
    found = list(plots_and_reasons(build(table), table, Nothing()))
    assert {one.kind for one in found if isinstance(one, Plot)} == {"errors", "time"}
    told = {one.kind for one in found if isinstance(one, NotDrawn)}
    assert told == set(KINDS) - {"errors", "time"}


def test_names_that_no_ledger_lets_in_do_no_harm() -> None:
    table = table_of({name: {"s/a": 0.5, f"s/{WORSE}": 0.5} for name in (HOSTILE, WORSE, "方法")})
    shown = list(plots(build(table), table, Nothing()))
    assert len(shown) == 4
    for one in shown:
        ElementTree.fromstring(one.svg)
        assert b"<script" not in one.svg and b"\x1b" not in one.svg
        assert "\x1b" not in one.title + one.caption + one.alt


def test_two_hundred_methods_take_seconds() -> None:
    table = table_of(many(200, 2), seeds=(0,))
    boards = build(table)
    for kind in ("critical-difference", "profiles", "errors", "time"):
        start = time.process_time()
        (one,) = plots(boards, table, Nothing(), [kind])
        assert time.process_time() - start < 8
        assert "more are not" in one.caption
        told = {"critical-difference": "ticks alone)", "errors": ""}.get(kind, "not shown)")
        assert told in one.svg.decode()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("generated/errors", "generated/errors"),
        ("generated/curves/s/b:x/../1.0", "generated/curves/s/b_x/_/1.0"),
        ("a//b", "a/_/b"),
        ("con/x", "_con/_x"),
        ("a/" + "ä" * 300, "a/" + "ä" * 50),
    ],
)
def test_names_of_files_stay_in_their_folder(name: str, path: str) -> None:
    assert file_name(name) == path


def test_the_look_at_drawings_sees_faults() -> None:
    figure = Figure(figsize=(2, 1))
    figure.text(0.5, 0.5, "one text")
    figure.text(0.55, 0.5, "another one", fontsize=5)
    told = " ".join(faults(figure))
    assert "beyond" not in told and "on one another" in told and "too small" in told
    figure.text(0.9, 0.1, "a long text")
    assert "beyond the sheet: 'a long text'" in " ".join(faults(figure))


def test_the_command_writes_both_formats_and_says_where(full: Ledger) -> None:
    results = ("--results", full.uri)
    assert full.local_root is not None
    lines = output_of("plots", *results, "--kinds", "errors", "critical-difference").split()
    folder = full.local_root / "plots" / "s-generated"
    assert lines == [
        str(folder / f"{name}.{ending}")
        for name in ("critical-difference", "errors")
        for ending in ("png", "svg")
    ]
    assert (folder / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "errors.svg").read_bytes().startswith(b"<?xml")


def test_wrong_requests_are_told_in_a_sentence(full: Ledger) -> None:
    results = ("--results", full.uri)
    assert full.local_root is not None
    for line, part in (
        ("--kinds pie", "There are no plots 'pie'."),
        (
            "--kinds bound",
            "Nothing of what was asked for can be drawn: bound (s-generated): no cell",
        ),
        ("--methods fno", "No method of the ledger matches 'fno'"),
        ("--protocol released", "holds no result for protocol released"),
    ):
        assert part in refused(full.local_root, "plots", *line.split(), *results)
    assert "--sample takes a whole number" in refused(
        full.local_root, "figures", "--sample", "-1", *results
    )


def test_a_reason_is_told_once_for_all_its_tasks(ledger: Ledger, add: Add) -> None:
    for task in ("s/a", "s/b"):
        add(task)
    result = xmft("plots", "--kinds", "errors", "curves", "--results", ledger.uri)
    assert result.exit_code == 0
    assert result.stderr.split("\n")[0] == (
        "not drawn: curves (s-generated, s/a, s/b): no entry keeps curves of epochs"
    )


def test_figures_of_the_command_can_be_of_the_worst_sample(full: Ledger) -> None:
    results = ("--results", full.uri)
    assert output_of("figures", "--sample", "worst", "--tasks", "s/a*", *results).endswith(".png\n")
