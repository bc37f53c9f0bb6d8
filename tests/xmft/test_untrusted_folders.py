"""Nothing that lies in a folder of weights or data is run, and nobody is asked whether it may."""

import json
import os
import pickle
import runpy
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub.utils import filter_repo_objects
from transformers import BertConfig, BertModel, BertTokenizerFast

from benchmarks import arrays
from benchmarks import data as task_data
from benchmarks.pdebench import group_files
from tests.xmft.small_backbones import SMALL, WORDS
from xmft.backbones import TextBackbone, load_backbone
from xmft.backbones.opening import opened
from xmft.backbones.reading import backbone_size, check_readable, remarks
from xmft.backbones.tokenizer import read_tokenizer
from xmft.backbones.weights import weights_fingerprint
from xmft.errors import DataError, RequestError
from xmft.recipe import Recipe
from xmft.source import PROXIES, SourceConfig, cifar10

READINGS = [weights_fingerprint, backbone_size, check_readable, remarks, load_backbone]


class Mark:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


@pytest.fixture
def bert(tmp_path: Path, mark: Path) -> Path:
    """A good folder in which code lies that would leave a mark."""
    folder = tmp_path / "bert"
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    (tmp_path / "words").write_text("\n".join(WORDS))
    BertTokenizerFast(str(tmp_path / "words")).save_pretrained(folder)
    code = f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n"
    for name in ("own", "conftest", "torch", "setup", "__init__"):
        (folder / f"{name}.py").write_text(code)
    runpy.run_path(str(folder / "own.py"))
    assert mark.exists()
    mark.unlink()
    return folder


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> str:
        pytest.fail("a question was asked")

    monkeypatch.setattr("builtins.input", asked)


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
ELSEWHERE = {"AutoConfig": "some/repository--own.OwnConfig"}


@pytest.mark.parametrize("auto_map", [AUTO_MAP, ELSEWHERE])
@pytest.mark.parametrize("read", [backbone_size, check_readable, load_backbone])
def test_a_model_of_its_own_code_is_refused(
    read: Callable[[str], Any], auto_map: dict[str, str], bert: Path, mark: Path
) -> None:
    change(bert / "config.json", model_type="own", auto_map=auto_map)
    with pytest.raises(RequestError) as caught:
        read(str(bert))
    message = str(caught.value)
    assert "own.OwnConfig" in message and "is not run" in message and "\n" not in message
    assert not mark.exists()


def test_code_beside_a_model_that_is_known_is_left_aside_and_named(bert: Path, mark: Path) -> None:
    change(bert / "config.json", auto_map=AUTO_MAP)
    change(bert / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Slow", "own.Fast"]})
    for read in READINGS:
        read(str(bert))
    backbone = load_backbone(str(bert))
    assert isinstance(backbone, TextBackbone)
    assert backbone.tokenize(["a wave"]) == [[5, 6]]
    config, tokenizer = remarks(str(bert))
    assert "own.OwnConfig" in config and "config.json" in config and "not run" in config
    assert "own.Slow" in tokenizer and "tokenizer_config.json" in tokenizer
    assert not mark.exists()


@pytest.mark.parametrize("auto_map", [{"AutoTokenizer": ["own.Slow", None]}, ["own.Slow", None]])
def test_a_tokenizer_of_its_own_code_is_not_run(auto_map: Any, bert: Path, mark: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (bert / name).unlink(missing_ok=True)
    change(bert / "tokenizer_config.json", auto_map=auto_map, tokenizer_class="OwnTokenizer")
    with pytest.raises(RequestError, match="no tokenizer that can be read"):
        read_tokenizer(str(bert))
    assert not mark.exists()


def test_attention_is_not_fetched_from_the_hub(bert: Path) -> None:
    change(bert / "config.json", attn_implementation="kernels-community/flash-attn")
    backbone: Any = load_backbone(str(bert))
    assert backbone.encoder.body.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("variable", [None, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("sharded", [True, False], ids=["sharded", "one"])
def test_pickled_weights_are_not_run(
    variable: str | None,
    zipped: bool,
    sharded: bool,
    bert: Path,
    mark: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv(variable, "1")
    name = "pytorch_model-00001-of-00001.bin" if sharded else "pytorch_model.bin"
    tensors: dict[str, Any] = BertModel.from_pretrained(bert).state_dict()
    (bert / "model.safetensors").unlink()
    if sharded:
        index = {"metadata": {}, "weight_map": dict.fromkeys(tensors, name)}
        (bert / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    torch.save(tensors, bert / name, _use_new_zipfile_serialization=zipped)
    check_readable(str(bert))
    assert load_backbone(str(bert)).layers == 2

    torch.save(tensors | {"more": Mark(mark)}, bert / name, _use_new_zipfile_serialization=zipped)
    for read in (check_readable, load_backbone):
        with pytest.raises(RequestError) as caught:
            read(str(bert))
        message = str(caught.value)
        assert (
            "mkdir" in message
            and f"its {name}" in message
            and "nothing in it is run" in message
            and "\n" not in message
        )
    assert not mark.exists()
    torch.load(bert / name, weights_only=False)
    assert mark.exists()


@pytest.mark.parametrize("content", [{"state_dict": {"a": torch.ones(1)}, "epoch": 3}, [1, 2]])
def test_pickles_of_something_else_are_told(content: Any, bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    torch.save(content, bert / "pytorch_model.bin")
    with pytest.raises(RequestError, match=r"holds (state_dict, epoch|list) instead of tensors"):
        check_readable(str(bert))


def test_libraries_find_nobody_and_nothing_but_the_files_they_may_read(bert: Path) -> None:
    before = sys.stdin
    with opened("bert", bert, [bert / "config.json"]) as view:
        assert sys.stdin.read() == ""
        assert [path.name for path in view.iterdir()] == ["config.json"]
        assert (view / "config.json").read_text() == (bert / "config.json").read_text()
    assert sys.stdin is before and not view.exists()
    with (
        pytest.raises(RequestError, match=str(bert / "config.json")),
        opened("bert", bert, [bert / "config.json"]) as view,
    ):
        raise OSError(f"{view}/config.json is odd")
    assert sys.stdin is before


@pytest.mark.parametrize("pickled", [True, False])
def test_of_a_repository_only_what_is_read_is_fetched(
    pickled: bool, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(BertModel.from_pretrained(bert).state_dict(), bert / "pytorch_model.bin")
    (bert / "spm.model").write_bytes(b"")
    (bert / "onnx").mkdir()
    (bert / "onnx" / "model.safetensors").write_bytes(b"")
    if pickled:
        (bert / "model.safetensors").unlink()

    def fetch(hub_id: str, *, allow_patterns: list[str]) -> str:
        assert hub_id == f"some/repository-{pickled}"
        names = [str(path.relative_to(bert)) for path in bert.rglob("*") if path.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bert / name, tmp_path / "hub" / name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    name = f"some/repository-{pickled}"
    assert weights_fingerprint(name) == weights_fingerprint(str(bert))
    fetched = {path.name for path in (tmp_path / "hub").iterdir()}
    assert {"config.json", "tokenizer_config.json", "spm.model"} < fetched
    assert ("pytorch_model.bin" in fetched, "model.safetensors" in fetched) == (
        pickled,
        not pickled,
    )
    assert not any(name.endswith(".py") for name in fetched) and "onnx" not in fetched


def test_a_whole_folder_that_is_read_from_within_runs_nothing(
    bert: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bert)
    for read in READINGS:
        read(".")
    read_tokenizer(".")
    assert not mark.exists()


@pytest.mark.parametrize("archived", [True, False])
def test_pickles_of_a_source_are_not_run(archived: bool, tmp_path: Path, mark: Path) -> None:
    folder = tmp_path / "data" / cifar10.FOLDER
    folder.mkdir(parents=True)
    for name in cifar10.BATCHES:
        (folder / name).write_bytes(pickle.dumps({b"data": Mark(mark), b"labels": []}, protocol=2))
    if archived:
        with tarfile.open(folder.parent / cifar10.ARCHIVE, "w:gz") as archive:
            archive.add(folder / cifar10.BATCHES[0], arcname="../../escaped")
            archive.add(folder, arcname=cifar10.FOLDER)
        shutil.rmtree(folder)
    before = sorted(tmp_path.rglob("*"))
    assert PROXIES["cifar10"].identity(folder.parent)
    with pytest.raises(DataError, match=r"mkdir.*numpy's constructors"):
        PROXIES["cifar10"].samples(load_backbone("tiny-swin"), SourceConfig(), folder.parent)
    assert not mark.exists() and sorted(tmp_path.rglob("*")) == before


def test_pickles_of_a_task_are_not_run(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        content = {"data": np.zeros((30, 46)), "label": Mark(mark)}
        path = tmp_path / "data" / f"satellite_{split}.npy"
        np.save(path, np.array(content, dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"mkdir.*numpy's constructors"):
        task_data.load("nasbench360/satellite", data_root=tmp_path / "data", recipe=Recipe())
    assert not mark.exists()


def test_yaml_in_data_builds_nothing(mark: Path) -> None:
    with pytest.raises(yaml.YAMLError):
        yaml.load(f"!!python/object/apply:os.mkdir [{mark}]", Loader=group_files._LOADER)
    assert not mark.exists()


def test_prepared_arrays_that_are_pickles_are_not_run(tmp_path: Path, mark: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Mark(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        arrays.opened(tmp_path, "a")
    assert not mark.exists()
