import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertModel,
    AutoConfig,
    AutoModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaForMaskedLM,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

from xmft.backbones import FAMILIES, TextBackbone, load_backbone
from xmft.backbones.family import BackboneSize
from xmft.backbones.reading import backbone_size
from xmft.errors import RequestError

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 30,
}
SWIN = {
    "image_size": 32,
    "embed_dim": 8,
    "depths": [1, 2],
    "num_heads": [2, 2],
    "window_size": 4,
}


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    BertModel(BertConfig(**SMALL)).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


@pytest.fixture
def swin(tmp_path: Path) -> Path:
    SwinModel(SwinConfig(**SWIN)).save_pretrained(tmp_path / "swin")
    return tmp_path / "swin"


def refused(load: Callable[[], object]) -> str:
    with pytest.raises(RequestError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    return message


def reconfigure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sizes_are_read_without_the_weights(bert: Path, swin: Path, tmp_path: Path) -> None:
    roberta = tmp_path / "roberta"
    RobertaConfig(**SMALL, pad_token_id=1).save_pretrained(roberta)
    for folder in (bert, swin):
        (folder / "model.safetensors").unlink()
    for folder, family, modality, positions in (
        (bert, "text", "text", 30),
        (roberta, "text", "text", 28),
        (swin, "swin", "vision", None),
    ):
        known = BackboneSize(
            name=str(folder), family=FAMILIES[family], layers=3, positions=positions
        )
        assert backbone_size(str(folder)) == known and known.modality == modality
    for name in ("tiny-sequence", "tiny-swin"):
        backbone, size = load_backbone(name), backbone_size(name)
        assert (size.modality, size.layers) == (backbone.modality, backbone.layers)


def test_a_model_with_another_head_than_ours_is_complete(tmp_path: Path) -> None:
    # As on the hub: a language model's head on top, no pooler.
    model = RobertaForMaskedLM(RobertaConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path / "roberta")
    backbone = load_backbone(str(tmp_path / "roberta"))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.encoder.eval()(backbone.embed_source(ids)),
            model.roberta(input_ids=ids).last_hidden_state,
        )


def test_a_tokenizer_is_asked_for_only_by_text(bert: Path) -> None:
    backbone = load_backbone(str(bert))
    assert isinstance(backbone, TextBackbone)
    message = refused(lambda: backbone.tokenize(["a wave"]))
    assert str(bert) in message and "no tokenizer" in message


def test_a_folder_without_weights_is_refused(bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    message = refused(lambda: load_backbone(str(bert)))
    assert str(bert) in message and "no weights" in message and "safetensors" in message


def test_a_folder_without_configuration_is_refused(bert: Path) -> None:
    (bert / "config.json").unlink()
    message = refused(lambda: load_backbone(str(bert)))
    assert str(bert) in message and "no config.json" in message


def test_broken_weights_are_refused(bert: Path) -> None:
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    message = refused(lambda: load_backbone(str(bert)))
    assert str(bert) in message and "could not be loaded" in message


@pytest.mark.parametrize(
    "content",
    [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n"],
    ids=["empty", "git-lfs"],
)
def test_pickled_weights_that_are_none_are_refused(content: bytes, bert: Path) -> None:
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(content)
    message = refused(lambda: load_backbone(str(bert)))
    assert f"could not be loaded from {bert}: pytorch_model.bin is no file of weights" in message


def test_an_error_without_a_text_is_named(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
    assert "PermissionError" in refused(lambda: backbone_size(str(bert)))


@pytest.mark.parametrize("load", [backbone_size, load_backbone])
def test_a_configuration_of_wrong_type_is_refused(load: Callable[[str], Any], bert: Path) -> None:
    reconfigure(bert, hidden_size="a")
    message = refused(lambda: load(str(bert)))
    assert str(bert) in message and "hidden_size" in message and "'a'" in message


def test_a_decoder_is_refused(bert: Path) -> None:
    # BERT then attends causally.
    reconfigure(bert, is_decoder=True)
    assert "neither a sequence encoder" in refused(lambda: load_backbone(str(bert)))


def test_an_encoder_whose_layers_are_one_is_refused(tmp_path: Path) -> None:
    AlbertModel(AlbertConfig(**SMALL, embedding_size=8)).save_pretrained(tmp_path / "albert")
    message = refused(lambda: load_backbone(str(tmp_path / "albert")))
    assert "albert' has no list of 3 encoder layers" in message


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("bert", {}),
        ("camembert", {}),
        ("data2vec-text", {}),
        ("esm", {"position_embedding_type": "absolute"}),
        ("esm", {"position_embedding_type": "rotary"}),
        ("mpnet", {}),
        ("roberta-prelayernorm", {}),
        ("xlm-roberta", {}),
        ("xlm-roberta-xl", {}),
        ("xmod", {}),
    ],
)
def test_positions_are_known_without_the_weights(
    architecture: str, options: dict[str, Any], tmp_path: Path
) -> None:
    config = AutoConfig.for_model(architecture, **SMALL, pad_token_id=1, **options)
    AutoModel.from_config(config).save_pretrained(tmp_path / "one")
    backbone = load_backbone(str(tmp_path / "one"))
    assert isinstance(backbone, TextBackbone)
    assert backbone_size(str(tmp_path / "one")).positions == len(backbone.positions)


def test_weights_of_another_model_are_refused(bert: Path, swin: Path) -> None:
    # Five tensors of the embedding, sixteen of each layer.
    shutil.copy(swin / "model.safetensors", bert / "model.safetensors")
    message = refused(lambda: load_backbone(str(bert)))
    assert str(bert) in message and "they lack 53 tensors of the encoder (embeddings." in message


def test_weights_of_fewer_layers_are_refused(bert: Path) -> None:
    reconfigure(bert, num_hidden_layers=4)
    message = refused(lambda: load_backbone(str(bert)))
    assert "they lack 16 tensors of the encoder (encoder.layer.3." in message


@pytest.mark.parametrize(
    "folder, changes, shown",
    [
        ("bert", {"intermediate_size": 20}, "for 9 tensors of the encoder (encoder.layer.0.inter"),
        ("swin", {"window_size": 7}, "for 3 tensors of the encoder (encoder.layers.0.blocks.0."),
    ],
)
def test_weights_of_another_size_are_refused(
    folder: str, changes: dict[str, int], shown: str, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    reconfigure(path, **changes)
    message = refused(lambda: load_backbone(str(path)))
    assert "they have another shape " + shown in message


SIZES = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16}


@pytest.mark.parametrize(
    "model",
    [
        GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=30)),
        ViTModel(ViTConfig(**SIZES, intermediate_size=24, image_size=32, patch_size=8)),
    ],
    ids=["gpt2", "vit"],
)
def test_other_architectures_are_refused(model: Any, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "other")
    message = refused(lambda: load_backbone(str(tmp_path / "other")))
    assert "neither a sequence encoder that takes inputs_embeds" in message
    assert "nor a Swin" in message


def test_an_unknown_id_is_refused_with_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused(lambda: load_backbone("minilmm"))
    assert "'minilmm'" in message and "Did you mean 'minilm'?" in message
    assert "roberta-base" in message and "local folder" in message
    # Not even a possible name of a repository.
    assert "local folder" in refused(lambda: load_backbone("no/such/folder at all"))


@pytest.mark.parametrize(
    "name, repository",
    [
        ("roberta-base", "FacebookAI/roberta-base"),
        ("swin-base", "microsoft/swin-base-patch4-window7-224-in22k"),
    ],
)
def test_a_known_name_is_looked_for_on_the_hub(
    name: str, repository: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bert: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refused(lambda: load_backbone(name))
    assert f"'{name}' could not be fetched" in message and "local folder" in message
    assert "Did you mean" not in message
    # What was fetched earlier is found without a network.
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    shutil.copytree(bert, folder / "snapshots" / "one")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("one")
    assert backbone_size(name).layers == 3
