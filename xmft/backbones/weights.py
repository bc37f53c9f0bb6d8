"""Where backbones come from: packages, folders and the hub, all in the Hugging Face layout."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmft.errors import RequestError
from xmft.registry import Registry, nearest

Modality = Literal["text", "vision"]

_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")


@dataclass(frozen=True, kw_only=True)
class Named:
    """A backbone that has a name of its own; where it comes from is said in one way.

    Attributes:
        title: One line for `xmft list backbones`.
        hub: Its id on the Hugging Face hub.
        locate: Finds its folder; raises RequestError where it is missing.
        build: Makes the configuration of an encoder that is drawn at random, not read.
        version: Of what is built; raised when the same name starts to mean other weights.
    """

    title: str
    hub: str | None = None
    locate: Callable[[], Path] | None = None
    build: Callable[[], Any] | None = None
    version: int = 1


# Filled by the families; anything else is a hub id or a folder.
NAMED: Registry[Named] = Registry("backbone")
_NOT_NAMED = Named(title="")


def named(name: str) -> Named:
    """Return what is known of a backbone by its name; an empty entry for a folder or hub id."""
    # Not `get`: a registry explains an unknown name, it does not pass it by.
    return NAMED[name] if name in NAMED else _NOT_NAMED  # noqa: SIM401


def locate_weights(name: str) -> Path | None:
    """Return the folder that holds backbone `name`; None for those built from a config.

    Raises:
        RequestError: no such folder, package or hub model.
    """
    known = named(name)
    if known.build is not None:
        return None
    if known.locate is not None:
        return known.locate()
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise RequestError(f"Backbone folder {folder} has no config.json.")
        return folder.resolve()
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    hub_id, patterns = named(name).hub or name, ["*.json", "*.txt"]
    try:
        for weights in _WEIGHT_FILES:
            folder = Path(snapshot_download(hub_id, allow_patterns=[*patterns, weights]))
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
        return hashlib.sha256(f"{name}:{named(name).version}".encode()).hexdigest()
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
