"""The tokenizer of a text encoder, which makes samples of a source of text."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from xmft.backbones import files
from xmft.backbones.opening import opened
from xmft.backbones.reading import configuration
from xmft.backbones.weights import locate_weights
from xmft.errors import RequestError

Tokenize = Callable[[list[str]], list[list[int]]]


def tokenizer_of(name: str) -> Tokenize:
    """Return text to token ids without special tokens; files are read at the first call.

    The call raises RequestError as `read_tokenizer` does.
    """
    read = functools.cache(lambda: read_tokenizer(name))

    def tokenize(texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = read()(texts, add_special_tokens=False)["input_ids"]
        return ids

    return tokenize


def read_tokenizer(name: str) -> Any:
    """Read the tokenizer of a backbone that lies in a folder.

    Raises:
        RequestError: there is none that can be read, or it makes tokens that the embedding of the
            model does not have.
    """
    from transformers import AutoTokenizer

    folder = locate_weights(name)
    missing = (
        f"Backbone '{name}' has no tokenizer that can be read in {folder}, and the source is "
        "text{reason}. Put the tokenizer's files beside config.json."
    )
    assert folder is not None  # what is built brings its own
    seen = files.matching(folder, (*files.CONFIGURATION, *files.TOKENIZER))
    _check_sentencepiece(folder, seen)
    try:
        with opened(name, folder, seen) as view:
            tokenizer = AutoTokenizer.from_pretrained(
                view, local_files_only=True, trust_remote_code=False
            )
            # Without files, transformers makes one that knows the special tokens alone.
            empty = len(tokenizer) <= len(tokenizer.all_special_ids)
            last = max(tokenizer.get_vocab().values(), default=0)
    except RequestError as error:
        reason = str(error).partition(f"{folder}: ")[2].rstrip(".")
        raise RequestError(missing.format(reason=f" ({reason})")) from error
    if empty:
        raise RequestError(missing.format(reason=""))
    there = getattr(configuration(name)[0], "vocab_size", last + 1)
    if last >= there:
        raise RequestError(
            f"The tokenizer in {folder} has tokens up to number {last}, but the embedding of the "
            f"model has {there} (vocab_size in config.json). Put the tokenizer of the model there, "
            "or call resize_token_embeddings and save it."
        )
    return tokenizer


def _check_sentencepiece(folder: Path, seen: Iterable[Path]) -> None:
    """Name the package that is missing: transformers asks for another one, or for the files."""
    vocabularies = [path.name for path in seen if path.suffix in (".model", ".spm")]
    whole = (folder / "tokenizer.json").is_file()
    if vocabularies and not whole and importlib.util.find_spec("sentencepiece") is None:
        raise RequestError(
            f"The tokenizer in {folder} ({vocabularies[0]}) is read with the package "
            "sentencepiece, which is not installed. Install it (pip install sentencepiece), or put "
            "a tokenizer.json beside it."
        )
