"""Reading encoders with transformers: configuration, weights, tokenizer."""

from __future__ import annotations

import functools
import pickle
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xmft.backbones.weights import TINY_SEQUENCE, TINY_SWIN, Modality, locate_weights
from xmft.errors import RequestError
from xmft.seeding import seed_everything

Tokenize = Callable[[list[str]], list[list[int]]]

_TINY_VOCABULARY = 1000
# Architectures that count positions from padding_idx + 1, with a table that has rows before it.
_POSITIONS_AFTER_PADDING = frozenset(
    {
        "camembert",
        "data2vec-text",
        "esm",
        "mpnet",
        "roberta",
        "roberta-prelayernorm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xmod",
    }
)
# How many names of missing tensors a message shows.
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class BackboneSize:
    """What a configuration file says.

    Attributes:
        modality: What the encoder was pretrained on.
        layers: Encoder layers.
        positions: Longest sequence; None for a vision encoder, which resizes what it reads.
    """

    modality: Modality
    layers: int
    positions: int | None


def backbone_size(name: str) -> BackboneSize:
    """Read the size of a backbone without its weights.

    Raises:
        RequestError: the backbone cannot be found or is no encoder that can be used.
    """
    config = _configuration(name)
    if config.model_type == "swin":
        return BackboneSize(modality="vision", layers=sum(config.depths), positions=None)
    # An ESM may have rotary positions, and then no table.
    has_table = getattr(config, "position_embedding_type", "absolute") == "absolute"
    padded = has_table and config.model_type in _POSITIONS_AFTER_PADDING
    skipped = config.pad_token_id + 1 if padded else 0
    return BackboneSize(
        modality="text",
        layers=config.num_hidden_layers,
        positions=config.max_position_embeddings - skipped,
    )


def read_encoder(name: str) -> Any:
    """Read a backbone: the transformers model in evaluation mode, with its own embedding.

    Attention is `scaled_dot_product_attention` where the architecture has it (BERT, RoBERTa and
    Swin do), which is what transformers takes by itself.

    Raises:
        RequestError: its files cannot be loaded, or do not hold all weights of the encoder.
    """
    config, folder = _configuration(name), locate_weights(name)
    from safetensors import SafetensorError
    from transformers import AutoModel

    if folder is None:
        seed_everything(name)
        return AutoModel.from_config(config).eval()
    try:
        body, report = AutoModel.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (EOFError, pickle.UnpicklingError) as error:
        # What torch says here is to load the file without its safety checks.
        raise RequestError(
            f"Backbone '{name}' could not be loaded from {folder}: pytorch_model.bin is no file of "
            "weights; it may be empty or a pointer of git-lfs. Fetch it again."
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _unreadable(name, folder, error) from error
    _check_complete(report, name, folder)
    return body


def tokenizer_of(name: str) -> Tokenize:
    """Return text to token ids without special tokens; files are read at the first call.

    The call raises RequestError where the backbone has no tokenizer.
    """
    if name == TINY_SEQUENCE:
        return _tokenize_tiny

    @functools.cache
    def read() -> Any:
        from transformers import AutoTokenizer

        folder = locate_weights(name)
        missing = RequestError(
            f"Backbone '{name}' has no tokenizer that can be read in {folder}, and the source is "
            "text. Put the tokenizer's files beside config.json."
        )
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise missing from error
        # Without files, transformers makes one that knows the special tokens alone.
        if len(tokenizer) <= len(tokenizer.all_special_ids):
            raise missing
        return tokenizer

    def tokenize(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = read()(texts, add_special_tokens=False)["input_ids"]
        return ids

    return tokenize


def not_an_encoder(name: str, what: str) -> RequestError:
    """Return the error for an architecture of the wrong kind."""
    return RequestError(
        f"Backbone '{name}' ({what}) is neither a sequence encoder that takes inputs_embeds "
        "(BERT, RoBERTa and their like) nor a Swin. Choose another with --set backbone=NAME "
        "(`xmft list backbones`)."
    )


def _configuration(name: str) -> Any:
    """Read the configuration of an encoder, dropout switched off.

    Raises:
        RequestError: there is none, or it is of an architecture that cannot be used.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    folder = locate_weights(name)
    if folder is None:
        return _tiny(name)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise _unreadable(name, folder, error) from error
    reads_text = hasattr(config, "vocab_size") and hasattr(config, "max_position_embeddings")
    if config.model_type != "swin" and not (reads_text and hasattr(config, "num_hidden_layers")):
        raise not_an_encoder(name, config.model_type)
    for key, value in vars(config).items():
        # The published setting trains without dropout (drop_out: 0.0 in every config), and with
        # the random depth of the checkpoint.
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config


def _check_complete(report: dict[str, Any], name: str, folder: Path) -> None:
    """Refuse weights that do not fit: transformers draws what is missing at random.

    Pooling on top of the encoder is not used, and often left out of a file.
    """
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    other = sorted(key for key, *_ in report["mismatched_keys"])
    for keys, what in ((missing, "lack"), (other, "have another shape for")):
        if keys:
            more = ", ..." if len(keys) > _SHOWN else ""
            raise RequestError(
                f"The weights in {folder} are not those of its config.json: they {what} "
                f"{len(keys)} tensors of the encoder ({', '.join(keys[:_SHOWN])}{more}). Put the "
                f"config.json and the weights of one model there, or choose another backbone than "
                f"'{name}'."
            )


def _unreadable(name: str, folder: Path, error: Exception) -> RequestError:
    # A wrong field of a configuration is named in the first line, and its value in the second.
    reason = " ".join(map(str.strip, str(error).strip().splitlines()[:2]))
    reason = reason or type(error).__name__
    return RequestError(f"Backbone '{name}' could not be loaded from {folder}: {reason}")


def _tiny(name: str) -> Any:
    """Return the configuration of an encoder that is built, not read."""
    from transformers import BertConfig, SwinConfig

    if name == TINY_SWIN:
        return SwinConfig(
            image_size=32,
            patch_size=4,
            embed_dim=16,
            depths=[1, 1],
            num_heads=[2, 2],
            window_size=4,
            encoder_stride=8,
        )
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


def _tokenize_tiny(texts: list[str]) -> list[list[int]]:
    return [[zlib.crc32(w.encode()) % _TINY_VOCABULARY for w in t.split()] for t in texts]
