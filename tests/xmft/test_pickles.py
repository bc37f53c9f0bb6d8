from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmft.errors import DataError, mending
from xmft.pickles import NumpyUnpickler, load_object


class _Touch:
    """Makes a file when it is unpickled, as a malicious pickle would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _save(path: Path, content: Any, **options: Any) -> Path:
    np.save(path, np.array(content, dtype=object), allow_pickle=True, **options)
    return path


def _arrays() -> dict[str, Any]:
    return {
        "data": np.arange(6.0).reshape(2, 3),
        "strings": np.array(["a", "bc"]),
        "nested": [np.float32(2.5), (1, None, b"bytes"), {"deep": np.array([1, "x"], object)}],
    }


def test_what_numpy_saves_is_read(tmp_path: Path) -> None:
    found = load_object(_save(tmp_path / "a.npy", _arrays()))
    np.testing.assert_array_equal(found["data"], [[0, 1, 2], [3, 4, 5]])
    assert found["strings"].tolist() == ["a", "bc"]
    assert found["nested"][0] == np.float32(2.5)
    assert found["nested"][1:] == [(1, None, b"bytes"), {"deep": found["nested"][2]["deep"]}]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("module", [b"numpy._core", b"numpy.core"])
def test_every_protocol_and_both_names_of_numpys_core(protocol: int, module: bytes) -> None:
    content = {"data": np.arange(4), "raw": b"\x00\xe9"}
    written = pickle.dumps(content, protocol=protocol)
    if protocol < 4:  # from 4 on the length of the name is written too
        written = written.replace(b"numpy._core", module)
    found = NumpyUnpickler(io.BytesIO(written), encoding="latin1").load()
    np.testing.assert_array_equal(found["data"], [0, 1, 2, 3])
    assert found["raw"] == b"\x00\xe9"


def test_a_pickle_that_wants_more_is_refused_and_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = _save(tmp_path / "a.npy", {"data": np.zeros(1), "label": _Touch(mark)})
    with pytest.raises(DataError) as caught, mending("Fetch it."):
        load_object(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith("Fetch it.")
    assert "none of numpy's constructors" in message
    assert not mark.exists()
    np.load(path, allow_pickle=True)  # so the pickle would have worked
    assert mark.exists()


@pytest.mark.parametrize(
    "wanted", [("os", "system"), ("builtins", "eval"), ("numpy", "load"), ("numpy", "f2py")]
)
def test_names_outside_the_list(wanted: tuple[str, str]) -> None:
    with pytest.raises(pickle.UnpicklingError, match=f"asks for '{wanted[0]}.{wanted[1]}'"):
        NumpyUnpickler(io.BytesIO()).find_class(*wanted)


def test_codecs_other_than_latin1_are_refused() -> None:
    encode = NumpyUnpickler(io.BytesIO()).find_class("_codecs", "encode")
    assert encode("\xe9", "latin1") == b"\xe9"
    with pytest.raises(pickle.UnpicklingError, match="encodes text as 'zip'"):
        encode("x", "zip")


@pytest.mark.parametrize("kept", [0, 4, 60, 128, 150, 300])
def test_a_truncated_file(tmp_path: Path, kept: int) -> None:
    path = _save(tmp_path / "a.npy", _arrays())
    path.write_bytes(path.read_bytes()[:kept])
    expected = "expected the .npy file" if kept else "truncated or damaged, expected a whole file"
    with pytest.raises(DataError, match=f"found {kept} bytes, {expected}"):
        load_object(path)


def test_other_arrays_and_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(DataError, match=r"array of type float64 and shape \(3,\)"):
        load_object(tmp_path / "plain.npy")
    with pytest.raises(DataError, match=r"gone.npy is gone. Fetch it."), mending("Fetch it."):
        load_object(tmp_path / "gone.npy")
