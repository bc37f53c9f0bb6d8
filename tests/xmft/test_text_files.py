"""Text in the encodings that editors write."""

import ast
from pathlib import Path

import pytest

import xmft
from xmft.errors import FileError
from xmft.text_files import read_text

TEXT = "größer ± λ 😀\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode(encoding))
    assert read_text(path) == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-32-be"])
def test_big_endian_marks(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("\ufeff" + TEXT).encode(encoding))
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("a\nb\nö\n".encode("latin-1"), "is no UTF-8 text (byte 0xf6 in line 3)"),
        ("a\n".encode("utf-16-be"), "UTF-16 without a byte order mark"),
        (b"\xff\xfea\0b", "is no UTF-16-LE text"),
    ],
)
def test_others_are_refused(content: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(FileError, match="Save it as UTF-8") as caught:
        read_text(path)
    assert found in str(caught.value)


def test_ends_of_lines_are_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\r\nb\rc\n")
    assert read_text(path) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("package", ["xmft", "benchmarks", "runner", "performance"])
def test_the_code_reads_and_writes_text_in_a_named_encoding(package: str) -> None:
    """Otherwise it would be that of the machine."""
    root = Path(xmft.__file__).parents[1]
    for path in (root / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                named = any(keyword.arg == "encoding" for keyword in node.keywords)
                text = node.func.attr in ("read_text", "write_text")
                assert named or not text, f"{path}, line {node.lineno}"
