"""Files of a backbone that are not as they should be: one sentence, whatever a library raises."""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from tests.xmft.small_backbones import SMALL, WORDS
from xmft.backbones.reading import backbone_size, check_readable, remarks
from xmft.backbones.tokenizer import read_tokenizer
from xmft.backbones.weights import weights_fingerprint
from xmft.errors import RequestError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a good folder by name."""
    folder = tmp_path_factory.mktemp("whole")
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    (folder / "words").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "words")).save_pretrained(folder)
    torch.save(BertModel(BertConfig(**SMALL)).state_dict(), folder / "pytorch_model.bin")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "words"}


def bert(**changes: object) -> str:
    return json.dumps({"model_type": "bert", **SMALL, **changes})


DAMAGED = [
    *(("tokenizer.json", text) for text in ("", "{}", "[]", POINTER, '{"added_tokens": []}')),
    ("tokenizer.json", '{"added_tokens": [{"id": 1}], "model": {"type": "WordPiece"}}'),
    ("tokenizer.json", '{"added_tokens": 4, "model": 3}'),
    *(("tokenizer_config.json", text) for text in ("", "[]", "3", '{"tokenizer_class": 3}')),
    ("tokenizer_config.json", '{"added_tokens_decoder": {"a": {}}}'),
    ("tokenizer_config.json", '{"auto_map": 3}'),
    *(("special_tokens_map.json", text) for text in ("", "[]", '{"unk_token": {"x": 1}}')),
    *(("added_tokens.json", text) for text in ("{", "[]")),
    *(("config.json", text) for text in ("", "{}", "[]", POINTER, '{"model_type": ["bert"]}')),
    *(("config.json", bert(vocab_size=size)) for size in (-1, "many", None)),
    ("config.json", bert(num_attention_heads=7)),
    ("config.json", bert(hidden_act="nope")),
    ("config.json", bert(dtype="nope")),
    ("config.json", '{"model_type": "swin", "image_size": [1, 2, 3]}'),
    ("config.json", '{"model_type": "nope"}'),
    *(("model.safetensors", text) for text in ("", POINTER, "{}")),
    *(("pytorch_model.bin", text) for text in ("", POINTER, "{}")),
    *(("model.safetensors.index.json", text) for text in ("", "{}", "[]", '{"weight_map": {}}')),
    ("model.safetensors.index.json", '{"weight_map": {"a": 3}}'),
]


@pytest.mark.parametrize(("name", "text"), DAMAGED)
def test_a_damaged_file_is_one_sentence(
    name: str, text: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    for file, content in whole.items():
        (tmp_path / file).write_bytes(content)
    readings = (weights_fingerprint, backbone_size, check_readable, read_tokenizer, remarks)
    for read in readings:
        read(str(tmp_path))
    (tmp_path / name).write_text(text)
    if not name.startswith(("model.safe", "tokenizer.json")):
        (tmp_path / "tokenizer.json").unlink()
    if name in ("pytorch_model.bin", "model.safetensors.index.json"):
        (tmp_path / "model.safetensors").unlink()
    told = []
    for read in readings:
        try:
            read(str(tmp_path))
        except RequestError as error:
            told.append(str(error))
    assert told
    assert all("\n" not in message and str(tmp_path) in message for message in told)
