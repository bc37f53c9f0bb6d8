"""Where backbones come from: packages, folders and the hub, all in the Hugging Face layout."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xmft.backbones import files
from xmft.errors import RequestError
from xmft.registry import Registry, nearest

Modality = Literal["text", "vision"]


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
    folder = _folder(name)
    if folder is None:
        folder = _from_hub(known.hub or name, name)
    files.check_configured(folder)
    return folder.resolve()


def _folder(name: str) -> Path | None:
    """Return the absolute path of the folder that a name stands for, links not followed."""
    if named(name) is not _NOT_NAMED:
        return None
    try:
        # Not Path.absolute, which keeps `..` and what goes before it.
        folder = Path(os.path.abspath(Path(name).expanduser()))  # noqa: PTH100
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):  # no home, or no possible path
        return None


def place_of(name: str) -> str:
    """Return where a backbone is found from any working directory: a path, or the name itself."""
    folder = _folder(name)
    return name if folder is None else str(folder)


def title_of(name: str) -> str:
    """Return what a backbone is called where people read it; says nothing of where it lies.

    A folder is called by its own name, a snapshot in the cache of the hub by its id there.
    """
    folder = _folder(name)
    if folder is None:
        return name
    repository = folder.parent.parent.name
    if folder.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return folder.name or str(folder)


@functools.cache
def _from_hub(hub_id: str, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*files.CONFIGURATION, *files.TOKENIZER, files.ADAPTER]
    try:
        for weights in (files.SAFETENSORS, files.PICKLED):
            folder = Path(snapshot_download(hub_id, allow_patterns=[*patterns, *weights]))
            if files.matching(folder, weights):
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


def weights_fingerprint(name: str) -> str:
    """Return what stands for the weights of backbone `name` in a cell id, and their tokenizer.

    The same files have the same fingerprint wherever they lie and whatever they are called.

    Raises:
        RequestError: the backbone cannot be found, or its folder holds no weights.
    """
    folder = locate_weights(name)
    if folder is None:
        return hashlib.sha256(f"{name}:{named(name).version}".encode()).hexdigest()
    return files.fingerprint(folder)
