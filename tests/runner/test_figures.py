from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from runner.ledger import Ledger
from runner.report.drawing import draw, png
from runner.report.figures import pictures, write_figures
from runner.report.picture import Picture
from runner.schema import SCHEMA
from runner.storage import Storage
from tests.runner.attempts import attempt_of, cell_of, score_of
from xmft.errors import RequestError
from xmft.examples import Examples

Add = Callable[..., str]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def add(ledger: Ledger) -> Add:
    """Write a finished cell, whose prediction is the truth plus `error`, and return its id."""

    def add(
        task: str = "s/a",
        method: str = "nft",
        *,
        score: float = 0.5,
        seed: int = 0,
        grid: tuple[int, ...] = (8, 6),
        channels: int = 1,
        error: float = 0.1,
        keeps: int = 2,
        epochs: int = 1,
        origin: str = "generated",
        protocol: str = "clean",
        names: tuple[str, ...] = (),
    ) -> str:
        cell = cell_of(
            task, method, seed, origin=origin, protocol=protocol, recipe={"epochs": epochs}
        )
        ledger.write_attempt(
            attempt_of(cell, score_of(score, selection="last", epoch=1), origin=origin)
        )
        if keeps:
            rng = np.random.default_rng(0)
            targets = rng.standard_normal((keeps, channels, *grid)).astype(np.float32)
            ledger.write_examples(
                cell.id,
                Examples(inputs=targets[::-1], targets=targets, predictions=targets + error),
                names,
            )
        return cell.id

    return add


def shown(ledger: Ledger, **options: object) -> list[Picture]:
    return list(pictures(ledger.read(), ledger.examples, **options))  # type: ignore[arg-type]


def test_methods_are_rows_the_best_first(ledger: Ledger, add: Add) -> None:
    add(method="nft", score=0.3)
    add(method="orca", score=0.1, error=0.2)
    add(method="fpt", score=0.2)
    (picture,) = shown(ledger)
    assert [row.label for row in picture.rows] == ["orca", "fpt", "nft"]
    assert [row.score for row in picture.rows] == [0.1, 0.2, 0.3]
    row = picture.rows[0]
    assert np.allclose(row.prediction - row.target, 0.2, atol=1e-6)
    # 48 points off by 0.2 each.
    assert row.nrmse() == pytest.approx(0.2 * np.sqrt(48) / np.linalg.norm(row.target), rel=1e-5)
    assert (picture.origin, picture.protocol, picture.channels) == ("generated", "clean", ("",))


def test_cells_can_be_chosen(ledger: Ledger, add: Add) -> None:
    first = add(method="nft", seed=0, error=0.1)
    add(method="nft", seed=1, error=0.7, keeps=3)
    add("s/b:x1.0", method="orca")
    assert [picture.task for picture in shown(ledger)] == ["s/a", "s/b:x1.0"]
    assert [picture.task for picture in shown(ledger, tasks=["*:x*"])] == ["s/b:x1.0"]
    assert [picture.task for picture in shown(ledger, methods=["n*"])] == ["s/a"]
    for options, seed in (({}, 0), ({"seed": 1}, 1), ({"sample": 2}, 1), ({"only": [first]}, 0)):
        rows = shown(ledger, **options)[0].rows
        assert [row.seed for row in rows] == [seed]
    assert shown(ledger, sample=3) == []
    with pytest.raises(RequestError, match="No method of the ledger matches 'fno'"):
        shown(ledger, methods=["fno"])


def test_cells_of_another_setting_or_without_predictions_are_not_shown(
    ledger: Ledger, add: Add
) -> None:
    add(method="nft")
    add(method="orca")
    add(method="pare", epochs=9)
    add(method="fpt", keeps=0)
    add("s/b", keeps=0)
    (picture,) = shown(ledger)
    assert {row.label for row in picture.rows} == {"nft", "orca"}


def test_every_origin_and_protocol_has_its_own_picture(ledger: Ledger, add: Add) -> None:
    for method in ("nft", "orca"):
        add(method=method)
    add(origin="official")
    add(origin="official", protocol="released")
    pictures = shown(ledger)
    assert [picture.path for picture in pictures] == [
        "s/a-generated-clean.png",
        "s/a-official-clean.png",
        "s/a-official-released.png",
    ]
    assert [len(picture.rows) for picture in pictures] == [2, 1, 1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("grid", "axes"),
    [
        ((8,), 3),  # input, truth with prediction, error
        ((8, 6), 7),  # four images and three colour bars
    ],
)
def test_every_row_has_its_panels(
    grid: tuple[int, ...], axes: int, channels: int, ledger: Ledger, add: Add
) -> None:
    for method in ("nft", "orca"):
        add(method=method, grid=grid, channels=channels)
    (picture,) = shown(ledger)
    figure = draw(picture)
    assert len(figure.axes) == 2 * channels * axes
    texts = " ".join(text.get_text() for text in figure.texts)
    assert "nft, seed 0" in texts and "nrmse 0.5 on the test split" in texts
    assert ("channel 2" in texts) == (channels == 3)
    # No two panels on top of one another, and none beyond the edge.
    boxes = [panel.get_position() for panel in figure.axes]
    for number, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= 1 and box.y0 >= 0 and box.y1 <= 1
        for other in boxes[:number]:
            assert (
                min(box.x1, other.x1) <= max(box.x0, other.x0) + 1e-9
                or min(box.y1, other.y1) <= max(box.y0, other.y0) + 1e-9
            )


def test_scales(ledger: Ledger, add: Add) -> None:
    add(error=5.0)
    (picture,) = shown(ledger)
    figure = draw(picture)
    limits = {axes.get_title(): axes.images[0].get_clim() for axes in figure.axes if axes.images}
    truth = picture.rows[0].target
    assert limits["truth"] == limits["prediction"] == (truth.min(), truth.max())
    assert limits["error"] == pytest.approx((-5.0, 5.0), rel=1e-6)
    # x runs to the right, y upwards.
    (image,) = next(axes for axes in figure.axes if axes.get_title() == "truth").images
    assert np.array_equal(image.get_array(), truth[0].T)
    assert image.origin == "lower"


@pytest.mark.parametrize("grid", [(8,), (8, 6)])
def test_pictures_differ_with_the_predictions_alone(
    grid: tuple[int, ...], ledger: Ledger, add: Add
) -> None:
    add(grid=grid, error=0.1)
    (first,) = shown(ledger)
    add(grid=grid, error=0.3)
    (other,) = shown(ledger)
    assert png(first) == png(first)
    assert png(first) != png(other)


def test_fields_without_any_spread_can_be_drawn(ledger: Ledger, add: Add) -> None:
    for grid in ((8,), (8, 6)):
        cell_id = add(grid=grid)
        field = np.zeros((1, 1, *grid), np.float32)
        ledger.write_examples(cell_id, Examples(inputs=field, targets=field, predictions=field))
        (picture,) = shown(ledger)
        assert png(picture).startswith(PNG)


def test_names_of_channels(ledger: Ledger, add: Add) -> None:
    fields = ("density", "pressure", "velocity x", "velocity y")
    add("pdebench/compressible_ns_2d:M0.1", channels=4, names=fields)
    # The released protocol predicts one of the two.
    add("pdebench/diffusion_reaction_2d", channels=1, names=("activator u", "inhibitor v"))
    flow, reaction = shown(ledger)
    assert flow.channels == ("density", "pressure", "velocity x", "velocity y")
    assert reaction.channels == ("",)


def test_files(ledger: Ledger, add: Add, tmp_path: Path) -> None:
    add("s/a:x1.0")
    add("s/b")
    folder = Storage(tmp_path / "out")
    names = ["a_x1.0-generated-clean.png", "b-generated-clean.png"]
    assert write_figures(iter(shown(ledger)), folder) == [f"s/{name}" for name in names]
    found = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert [path.name for path in found] == names
    assert all(path.read_bytes().startswith(PNG) for path in found)
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"cannot be written .*--out"):
        write_figures(iter(shown(ledger)), Storage(tmp_path / "file"))


def test_an_empty_ledger_has_no_pictures() -> None:
    def unasked(_: str) -> Iterator[Examples]:
        raise AssertionError

    table: pa.Table = SCHEMA.empty_table()
    assert list(pictures(table, unasked)) == []  # type: ignore[arg-type]
