"""What plans remember of backbones, and what makes them forget it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from tests.xmft.small_backbones import SMALL
from xmft.backbones import files, reading, remembered
from xmft.backbones.reading import backbone_size, check_readable
from xmft.backbones.weights import weights_fingerprint
from xmft.cache import cache_root
from xmft.errors import RequestError


def save_bert(folder: Path) -> Path:
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    return folder


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has passed once; reading it again would raise."""
    folder = save_bert(tmp_path / "bert")
    size = backbone_size(str(folder))
    check_readable(str(folder), as_source=False)
    monkeypatch.setattr(reading, "configuration", None)
    assert backbone_size(str(folder)) == size
    check_readable(str(folder))
    return folder


def test_what_passed_is_known_wherever_it_lies(known: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(known, tmp_path / "copy"))
    assert backbone_size(str(other)).layers == backbone_size(str(known)).layers
    check_readable(str(other))


def test_changed_files_are_looked_at_again(known: Path) -> None:
    weights = known / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, weights)
    for look in (backbone_size, check_readable):
        with pytest.raises(TypeError):
            look(str(known))
    with pytest.raises(TypeError):
        # What samples of a source need was never looked at.
        check_readable(str(known), as_source=True)


@pytest.mark.parametrize("text", ["", "[1]", '{"sizes": 3}', "{"])
def test_a_damaged_record_is_none(known: Path, text: str) -> None:
    (cache_root() / "backbones.json").write_text(text)
    remembered._content.cache_clear()
    with pytest.raises(TypeError):
        backbone_size(str(known))


def test_what_fails_is_not_remembered(tmp_path: Path) -> None:
    folder = save_bert(tmp_path / "bert")
    (folder / "model.safetensors").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(RequestError):
            check_readable(str(folder))


def test_large_files_are_hashed_once_by_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_bert(tmp_path / "bert")
    monkeypatch.setattr(files, "_LARGE_BYTES", 1)
    first = weights_fingerprint(str(folder))
    files._digest.cache_clear()
    monkeypatch.setattr(files, "digest", None)
    assert weights_fingerprint(str(folder)) == first
    (folder / "model.safetensors").touch()
    with pytest.raises(TypeError):
        weights_fingerprint(str(folder))
