"""What a backbone's folder is identified by, and that nothing else of it is read."""

import fnmatch
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizerFast, SwinConfig, SwinModel

from tests.xmft.small_backbones import SMALL, WORDS
from xmft.backbones import TextBackbone, files, load_backbone
from xmft.backbones.reading import backbone_size, check_readable, remarks
from xmft.backbones.tokenizer import read_tokenizer
from xmft.backbones.weights import place_of, title_of, weights_fingerprint
from xmft.errors import RequestError

QUERY = "encoder.layer.0.attention.self.query.weight"


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "bert"
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    (tmp_path / "words").write_text("\n".join(WORDS))
    BertTokenizerFast(str(tmp_path / "words")).save_pretrained(folder)
    return folder


def change(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | fields))


def refused(name: Path | str, read: Any = load_backbone) -> str:
    with pytest.raises(RequestError) as caught:
        read(str(name))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_same_files_are_the_same_weights_wherever_they_lie(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(bert, tmp_path / "far" / "other name")
    (tmp_path / "link").symlink_to(bert)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ["bert", "./bert/", "~/bert", "far/../bert", "link", "far/other name", str(bert)]
    assert len({weights_fingerprint(name) for name in names}) == 1
    titles = [title_of(name) for name in names]
    assert titles == ["bert", "bert", "bert", "bert", "link", "other name", "bert"]
    places = [place_of(name) for name in names]
    monkeypatch.chdir("/")
    assert {weights_fingerprint(place) for place in places} == {weights_fingerprint(str(bert))}
    assert place_of("minilm") == title_of("minilm") == "minilm"


def test_a_model_of_the_hub_is_its_files_too(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--some--waves"
    shutil.copytree(bert, folder / "snapshots" / "0a1b")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0a1b")
    assert weights_fingerprint("some/waves") == weights_fingerprint(str(bert))
    assert title_of(str(folder / "snapshots" / "0a1b")) == title_of("some/waves") == "some/waves"


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "config.4.0.0.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer.4.0.0.json", "tokenizer_config.json", "added_tokens.json"),
        *("special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt", "bpe.codes"),
        *("spm.model", "sentencepiece.bpe.model", "spiece.model", "tokenizer.model"),
    ],
)
def test_whatever_reading_reads_is_in_the_fingerprint(name: str, bert: Path) -> None:
    seen = [weights_fingerprint(str(bert))]
    for content in (b"{}", b"[]"):
        (bert / name).write_bytes(content)
        seen.append(weights_fingerprint(str(bert)))
    assert len(set(seen)) == 3


def test_what_reading_leaves_aside_is_not_in_the_fingerprint(bert: Path) -> None:
    before = weights_fingerprint(str(bert))
    for name in (
        *("README.md", "training_args.bin", "optimizer.pt", "tf_model.h5", "pytorch_model.bin"),
        *("adapter_config.json", "adapter_model.safetensors", "modeling_wave.py", "trainer.json"),
        *("chat_template.jinja", "generation_config.json", "modules.json"),
    ):
        (bert / name).write_text("{}")
    (bert / "1_Pooling").mkdir()
    (bert / "1_Pooling" / "config.json").write_text("{}")
    assert weights_fingerprint(str(bert)) == before
    assert load_backbone(str(bert)).layers == 2


def test_every_vocabulary_of_transformers_is_known() -> None:
    names: set[str] = set()
    for path in Path(transformers.__file__).parent.glob("models/*/tokenization*.py"):
        for found in re.findall(r"VOCAB_FILES_NAMES[^=]*= *\{([^}]*)\}", path.read_text()):
            names.update(re.findall(r": *\"([^\"]+)\"", found))
    assert {"vocab.txt", "spm.model", "sentencepiece.bpe.model", "spiece.model"} < names
    unknown = {n for n in names if not any(fnmatch.fnmatch(n, p) for p in files.TOKENIZER)}
    assert not unknown


def test_files_that_change_are_read_again(bert: Path) -> None:
    first, print_ = load_backbone(str(bert)), weights_fingerprint(str(bert))
    torch.manual_seed(1)
    BertModel(BertConfig(**SMALL)).save_pretrained(bert)
    second = load_backbone(str(bert))
    assert first.fingerprint == print_ != second.fingerprint == weights_fingerprint(str(bert))
    one, two = (next(b.encoder.parameters()) for b in (first, second))
    assert not torch.equal(one, two)


def test_settings_of_the_tokenizer_are_part_of_the_weights(bert: Path, tmp_path: Path) -> None:
    (bert / "tokenizer.json").unlink()  # as older folders are
    (bert / "vocab.txt").write_text("\n".join(WORDS))
    shutil.copytree(bert, tmp_path / "cased")
    change(tmp_path / "cased" / "tokenizer_config.json", do_lower_case=False)
    lower, cased = load_backbone(str(bert)), load_backbone(str(tmp_path / "cased"))
    assert isinstance(lower, TextBackbone) and isinstance(cased, TextBackbone)
    assert lower.tokenize(["A wave"]) == [[5, 6]] and cased.tokenize(["A wave"]) == [[1, 6]]
    assert lower.fingerprint != cased.fingerprint


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("sharded", [False, True])
def test_weights_that_are_not_finite_are_told(value: float, sharded: bool, bert: Path) -> None:
    if sharded:
        BertModel.from_pretrained(bert).save_pretrained(bert, max_shard_size="8KB")
        index = json.loads((bert / "model.safetensors.index.json").read_text())
        path = bert / index["weight_map"][QUERY]
        (bert / "model.safetensors").unlink(missing_ok=True)
        assert len(set(index["weight_map"].values())) > 1
    else:
        path = bert / "model.safetensors"
    tensors = load_file(path)
    tensors[QUERY] = tensors[QUERY].half()
    tensors[QUERY][2, 3] = value
    save_file(tensors, path, metadata={"format": "pt"})
    message = refused(bert)
    assert str(path) in message and f"'{QUERY}' (1 of 256)" in message


def test_a_pooler_that_is_not_used_may_hold_anything(bert: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    tensors["pooler.dense.weight"][0, 0] = float("nan")
    save_file(tensors, bert / "model.safetensors", metadata={"format": "pt"})
    assert load_backbone(str(bert)).layers == 2


def test_a_swin_that_is_not_finite_is_told(tmp_path: Path) -> None:
    config = SwinConfig(image_size=32, embed_dim=8, depths=[1, 2], num_heads=[2, 2], window_size=4)
    model = SwinModel(config)
    with torch.no_grad():
        model.layernorm.weight[1] = float("nan")
    model.save_pretrained(tmp_path)
    assert "'layernorm.weight' (1 of 16)" in refused(tmp_path)


def test_a_missing_shard_is_told_before_anything_is_read(bert: Path) -> None:
    BertModel.from_pretrained(bert).save_pretrained(bert, max_shard_size="8KB")
    (bert / "model.safetensors").unlink(missing_ok=True)
    last = sorted(bert.glob("model-*.safetensors"))[-1]
    last.unlink()
    for read in (weights_fingerprint, check_readable):
        message = refused(bert, read)
        assert last.name in message and "index.json names" in message


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/tmp/elsewhere.safetensors"])
def test_shards_outside_of_the_folder_are_not_read(name: str, bert: Path) -> None:
    (bert / "model.safetensors").rename(bert.parent / "elsewhere.safetensors")
    change(bert / "model.safetensors.index.json", metadata={}, weight_map={QUERY: name})
    assert "outside of its folder" in refused(bert, weights_fingerprint)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.net."])
@pytest.mark.parametrize("pickled", [True, False])
def test_weights_named_by_a_wrapper_are_told(prefix: str, pickled: bool, bert: Path) -> None:
    tensors = load_file(bert / "model.safetensors")
    wrapped = {prefix + name: tensor for name, tensor in tensors.items()}
    if pickled:
        (bert / "model.safetensors").unlink()
        torch.save(wrapped, bert / "pytorch_model.bin")
    else:
        save_file(wrapped, bert / "model.safetensors", metadata={"format": "pt"})
    for read in [load_backbone] if prefix == "model.net." else [check_readable, load_backbone]:
        assert f"begin with '{prefix}'" in refused(bert, read)


def test_shapes_that_differ_are_shown(bert: Path) -> None:
    change(bert / "config.json", vocab_size=8)
    assert "embeddings.word_embeddings.weight: 9 x 16, not 8 x 16" in refused(bert)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"model_type": None}, "does not say what the model is"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "are quantised"),
        ({"is_decoder": True}, "neither a sequence encoder"),
    ],
)
def test_configurations_that_cannot_be_used_are_told(
    changes: dict[str, Any], shown: str, bert: Path
) -> None:
    change(bert / "config.json", **changes)
    assert shown in refused(bert, check_readable)


def test_a_configuration_that_is_a_list_is_told(bert: Path) -> None:
    (bert / "config.json").write_text("[1]")
    assert "config.json holds a list" in refused(bert, backbone_size)


def test_a_tokenizer_of_more_tokens_than_the_embedding_is_told(bert: Path) -> None:
    read_tokenizer(str(bert))
    tokenizer = BertTokenizerFast.from_pretrained(bert)
    tokenizer.add_tokens(["turbulence", "vortex"])
    tokenizer.save_pretrained(bert)
    message = refused(bert, read_tokenizer)
    assert "up to number 10" in message and "has 9 (vocab_size" in message


def test_a_library_that_is_missing_is_named(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (bert / name).unlink()
    (bert / "spm.model").write_bytes(b"\x0a")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sentencepiece" else find(name)
    )
    message = refused(bert, read_tokenizer)
    assert "(spm.model)" in message and "pip install sentencepiece" in message


def test_an_adapter_beside_weights_is_named_and_left_aside(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert remarks(str(bert)) == []
    change(bert / "adapter_config.json", peft_type="LORA", base_model_name_or_path="some/base")
    (remark,) = remarks(str(bert))
    assert "LORA of some/base" in remark and "not applied" in remark and "merge" in remark
    # With peft installed transformers would read an adapter by itself, and its base from the hub.
    for module in ("models.auto.auto_factory", "integrations.peft"):
        monkeypatch.setattr(f"transformers.{module}.is_peft_available", lambda: True)
    backbone = load_backbone(str(bert))
    stored = load_file(bert / "model.safetensors")
    assert torch.equal(backbone.encoder.state_dict()[f"body.{QUERY}"], stored[QUERY])


@pytest.mark.parametrize("configured", [True, False])
def test_an_adapter_alone_is_refused_by_its_name(configured: bool, bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "adapter_model.safetensors")
    change(bert / "adapter_config.json", peft_type="LORA", base_model_name_or_path="some/base")
    if not configured:  # as peft saves it
        (bert / "config.json").unlink()
    message = refused(bert, weights_fingerprint)
    assert "holds an adapter (adapter_config.json: LORA of some/base)" in message


def test_other_weights_are_named_where_there_are_none(bert: Path) -> None:
    (bert / "model.safetensors").rename(bert / "tf_model.h5")
    assert "no weights" in refused(bert) and "found tf_model.h5" in refused(bert)


def test_a_folder_of_sentence_transformers_says_where_the_encoder_lies(bert: Path) -> None:
    inner = bert / "0_Transformer"
    inner.mkdir()
    for path in [path for path in bert.iterdir() if path.is_file()]:
        path.rename(inner / path.name)
    assert f"One lies in {inner}" in refused(bert)
    assert load_backbone(str(inner)).layers == 2
