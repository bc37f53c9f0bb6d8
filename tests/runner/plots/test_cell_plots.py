"""Plots of what cells keep: curves, spectra, fields and terms of the bound."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from scipy.stats import spearmanr

from runner.ledger import Ledger
from runner.report.compare import Leaderboard, build
from runner.report.figures import pictures
from runner.report.plots.bound import bound
from runner.report.plots.curves import band, curves
from runner.report.plots.fields import fields
from runner.report.plots.plot import NotDrawn
from runner.report.plots.rendering import Drawing, house_style
from runner.report.plots.spectra import spectra
from runner.report.study.bound import measured_terms
from tests.runner.plots.conftest import Add, waves
from tests.runner.plots.drawings import drawn_texts, faults
from tests.runner.studies import attempt, measured
from tests.runner.studies import ledger as rows_of


def board_in(ledger: Ledger) -> Leaderboard:
    (board,) = build(ledger.read())
    return board


def drawn(make: Any, board: Leaderboard, *args: Any) -> Drawing:
    with house_style():
        drawing = make(board, *args)
    assert isinstance(drawing, Drawing), drawing
    return drawing


def test_bands_are_mean_and_range_of_the_seeds_that_have_the_epoch() -> None:
    found = band([{1: 4.0, 2: 2.0, 3: 1.0}, {1: 2.0, 2: math.nan}, {}])
    assert found is not None
    assert (found.epochs, found.mean) == ((1, 2, 3), (3.0, 2.0, 1.0))
    assert (found.low, found.high, found.seeds) == ((2.0, 2.0, 1.0), (4.0, 2.0, 1.0), 2)
    assert band([{1: math.inf}, {}]) is None


def test_curves_are_drawn_with_the_band_of_their_seeds(ledger: Ledger, add: Add) -> None:
    add(seed=0, curve=[0.8, 0.4, 0.2])
    add(seed=1, curve=[0.6, 0.2, 0.2])
    add(method="orca", seed=0, value=0.1, curve=[0.5, 0.3], first=4)
    add(method="orca", seed=1, value=0.1)
    add(method="ridge", value=0.3)
    add(method="ridge", seed=1, value=0.3)
    board = board_in(ledger)
    drawing = drawn(curves, board, board.tasks[0], ledger.curves)
    validation, training = drawing.figure.axes
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in validation.lines]  # type: ignore[arg-type]
    assert lines == [
        ([4, 5], [0.5, 0.3]),
        ([1, 2, 3], pytest.approx([0.7, 0.3, 0.2])),
    ]
    assert list(training.lines[0].get_ydata()) == [1.0, 0.6]  # type: ignore[arg-type]
    (shade,) = [c for c in validation.collections if isinstance(c, PolyCollection)]
    corners = {(round(x, 9), round(y, 9)) for x, y in shade.get_paths()[0].vertices.tolist()}  # type: ignore[union-attr]
    assert {(1.0, 0.6), (1.0, 0.8), (2.0, 0.2), (2.0, 0.4), (3.0, 0.2)} == corners
    assert "Without curves, as they train in no epochs: ridge." in drawing.caption
    assert "nft: validation from 0.7 at epoch 1 to 0.2 at epoch 3" in drawing.alt
    assert faults(drawing.figure) == []


def test_of_many_entries_the_first_are_read_and_no_more(ledger: Ledger, add: Add) -> None:
    for number in range(15):
        add(method=f"m{number:02}", value=0.1 + number, curve=[0.5, 0.1 + number])
    board = board_in(ledger)
    read: list[str] = []

    def counted(cell_id: str) -> Any:
        read.append(cell_id)
        return ledger.curves(cell_id)

    drawing = drawn(curves, board, board.tasks[0], counted)
    assert len(read) == 12
    assert "3 more are not" in drawing.caption
    assert faults(drawing.figure) == []


def test_without_curves_or_predictions_the_reason_is_told(ledger: Ledger, add: Add) -> None:
    add()
    board = board_in(ledger)
    found = curves(board, board.tasks[0], ledger.curves)
    assert isinstance(found, NotDrawn) and "curves" in found.reason and found.task == "s/a"
    assert isinstance(spectra(board, board.tasks[0], ledger.examples), NotDrawn)
    (nothing,) = fields(board, board.tasks, ledger.read(), ledger.examples)
    assert isinstance(nothing, NotDrawn)
    terms = bound(board, measured_terms(ledger.read()))
    assert isinstance(terms, NotDrawn) and "RECRAFT" in terms.reason


def test_spectra_of_errors_peak_where_the_error_is(ledger: Ledger, add: Add) -> None:
    truth = waves(2, 4)
    add(method="fine", value=0.1, truth=truth, prediction=truth + 0.2 * waves(9))
    add(method="coarse", value=0.2, truth=truth, prediction=-0.1 * waves(4))
    add(method="broken", value=0.3, truth=truth, prediction=truth * math.nan)
    add(method="other", value=0.4, truth=waves(2, points=16), prediction=waves(2, points=16))
    board = board_in(ledger)
    drawing = drawn(spectra, board, board.tasks[0], ledger.examples)
    lines = drawing.figure.axes[0].lines
    drawn_powers = [np.asarray(line.get_ydata()) for line in lines]
    # The truth; 0.2^2 / 2 at wavenumber 9 alone; all of the truth and more, 1.1^2 / 2.
    for powers, expected in zip(
        drawn_powers, ({2: 0.5, 4: 0.5}, {9: 0.02}, {2: 0.5, 4: 0.605}), strict=True
    ):
        shown = {k + 1: p for k, p in enumerate(powers) if p > 1e-9}
        assert shown == pytest.approx(expected, rel=1e-5)
    assert "fine errs most at wavenumber 9, as much as the truth is large from wavenumber 9" in (
        drawing.alt
    )
    assert "coarse errs most at wavenumber 4, as much as the truth is large from wavenumber" in (
        drawing.alt
    )
    assert "Without predictions that can be drawn: broken and other." in drawing.caption
    assert faults(drawing.figure) == []


@pytest.mark.parametrize("shape", [(1, 24), (5, 12, 10)])
def test_fields_show_the_worst_and_the_median_sample_of_the_best(
    shape: tuple[int, ...], ledger: Ledger, add: Add
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((3, *shape))
    scale = np.array([0.2, 0.9, 0.4]).reshape(3, *[1] * len(shape))
    add(method="best", value=0.1, truth=truth, prediction=truth * (1 - scale))
    add(method="x" * 200, value=0.4, truth=truth, prediction=truth * (1 - scale[::-1]))
    board = board_in(ledger)
    with house_style():
        found = list(fields(board, board.tasks, ledger.read(), ledger.examples))
    drawings = [one for one in found if isinstance(one, Drawing)]
    assert [one.name for one in drawings] == [
        "s-generated/fields/s/a-worst",
        "s-generated/fields/s/a-median",
    ]
    for one, sample, error in zip(drawings, (1, 2), ("0.9", "0.4"), strict=True):
        assert f"Sample {sample} of the test split" in one.caption
        assert f"Relative L2 error on it: best {error}" in one.alt
        assert one.figure.get_size_inches()[0] == pytest.approx(6.9)
        assert faults(one.figure, slack=0.03) == []
    # `xmft figures` shows the same.
    (picture,) = pictures(ledger.read(), ledger.examples, sample="worst")
    assert (picture.sample, picture.chosen) == (1, "worst of 3 kept for best")


def test_one_kept_sample_is_drawn_once(ledger: Ledger, add: Add) -> None:
    add(truth=waves(2, samples=1), prediction=waves(3, samples=1))
    board = board_in(ledger)
    with house_style():
        assert len(list(fields(board, board.tasks, ledger.read(), ledger.examples))) == 1


def test_terms_against_errors_with_the_coefficient_of_scipy() -> None:
    rng = np.random.default_rng(5)
    w2, errors = rng.random(6) + 1, rng.random(6) + 0.5
    cells = [attempt("recraft", "s/a", n, errors[n], terms=measured(9.0, w2[n])) for n in range(6)]
    table = rows_of(*cells, attempt("recraft", "s/b", 0, 0.7, terms=measured(9.0, 3.0)))
    (board,) = build(table)
    drawing = drawn(bound, board, measured_terms(table))
    rho = spearmanr(w2, errors).statistic
    texts = [text for text, *_ in drawn_texts(drawing.figure)]
    assert f"rho {rho:+.2f} (1 task, 6 cells)" in texts
    panel = next(axes for axes in drawing.figure.axes if axes.get_xlabel() == "W2")
    points = {(float(x.get_xdata()[0]), float(x.get_ydata()[0])) for x in panel.lines}  # type: ignore[index]
    expected = [*zip(w2, errors / errors.min(), strict=True), (3.0, 1.0)]
    assert np.array(sorted(points)) == pytest.approx(np.array(sorted(expected)))
    assert f"W2: rho {rho:+.2f} (1 task, 6 cells), 7 cells" in drawing.alt
    assert "one of 7 cells" in drawing.caption
    assert faults(drawing.figure) == []
