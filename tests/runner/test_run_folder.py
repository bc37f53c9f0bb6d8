"""The folder of a run: private, short enough for sockets, and gone at the end."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from runner.run_folder import run_folder
from xmft.errors import RequestError

# What Ray puts below the folder that it is given, with the longest numbers.
SOCKET = "0/session_2026-11-26_11-51-31_983217_4194304/sockets/plasma_store"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def test_it_is_private_and_gone_at_the_end() -> None:
    with run_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "sockets").mkdir()
    assert not folder.exists()


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
@pytest.mark.parametrize("name", ["a" * 60, "ü" * 25])  # bytes count, not characters
def test_a_long_place_gives_way_to_a_short_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv(variable, str(tmp_path / name))
    with run_folder() as folder:
        assert len(f"{folder}/{SOCKET}".encode()) <= 107
    assert not list((tmp_path / name).iterdir())


def test_a_short_place_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("RAY_TMPDIR", place)
        with run_folder() as folder:
            assert folder.parent == Path(place)


def test_a_place_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    with run_folder() as folder:
        assert tmp_path not in folder.parents


def test_no_short_place_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(**_options: str) -> str:
        raise PermissionError

    place = tmp_path / ("a" * 60)
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with (
        pytest.raises(RequestError, match=r"longer than 43 bytes.*Set RAY_TMPDIR to a short"),
        run_folder(),
    ):
        pass
