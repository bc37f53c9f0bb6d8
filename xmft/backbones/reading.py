"""Reading encoders with transformers: configuration, weights, tokenizer."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from xmft.backbones.family import BackboneSize, Family, family_of
from xmft.backbones.weights import locate_weights, named
from xmft.errors import RequestError
from xmft.seeding import seed_everything

Tokenize = Callable[[list[str]], list[list[int]]]

# How many names of missing tensors a message shows.
_SHOWN = 3


def backbone_size(name: str) -> BackboneSize:
    """Read the size of a backbone without its weights.

    Raises:
        RequestError: the backbone cannot be found or is no encoder that can be used.
    """
    config, family = _configuration(name)
    return BackboneSize(
        name=name,
        family=family,
        layers=family.layers(config),
        positions=family.positions(config),
    )


def read_encoder(name: str) -> tuple[Any, Family]:
    """Read a backbone: the transformers model in evaluation mode, with its own embedding.

    Its family takes it apart.

    Attention is `scaled_dot_product_attention` where the architecture has it (BERT, RoBERTa and
    Swin do), which is what transformers takes by itself.

    Raises:
        RequestError: its files cannot be loaded, or do not hold all weights of the encoder.
    """
    (config, family), folder = _configuration(name), locate_weights(name)
    from safetensors import SafetensorError
    from transformers import AutoModel

    if folder is None:
        seed_everything(name)
        return AutoModel.from_config(config).eval(), family
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
    return body, family


def tokenizer_of(name: str) -> Tokenize:
    """Return text to token ids without special tokens; files are read at the first call.

    The call raises RequestError where the backbone has no tokenizer.
    """

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


def _configuration(name: str) -> tuple[Any, Family]:
    """Read the configuration of an encoder, dropout switched off, and find its family.

    Raises:
        RequestError: there is none, or it is of an architecture that cannot be used.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    build = named(name).build
    config = _stored(name) if build is None else build()
    family = family_of(name, config)
    for key, value in vars(config).items():
        # The published setting trains without dropout (drop_out: 0.0 in every config), and with
        # the random depth of the checkpoint.
        if "dropout" in key and isinstance(value, float):
            setattr(config, key, 0.0)
    return config, family


def _stored(name: str) -> Any:
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    folder = locate_weights(name)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, StrictDataclassError) as error:
        raise _unreadable(name, folder, error) from error


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


def _unreadable(name: str, folder: Path | None, error: Exception) -> RequestError:
    # A wrong field of a configuration is named in the first line, and its value in the second.
    reason = " ".join(map(str.strip, str(error).strip().splitlines()[:2]))
    reason = reason or type(error).__name__
    return RequestError(f"Backbone '{name}' could not be loaded from {folder}: {reason}")
