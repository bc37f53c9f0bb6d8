"""Whether weights are whole: before they are read, by their headers, and after, by their values."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from xmft.backbones import files
from xmft.backbones.opening import opened
from xmft.errors import RequestError

# Before the names of tensors where a wrapper of torch was saved instead of the model in it.
_WRAPPERS = ("module.", "_orig_mod.")


def check_headers(name: str, folder: Path) -> None:
    """Refuse files of weights that cannot be read, without reading the tensors in them.

    Raises:
        RequestError: files are missing, damaged, or want more than tensors.
    """
    from safetensors import safe_open

    tensors: list[str] = []
    for path in files.weight_files(folder):
        if path.suffix == ".safetensors":
            with opened(name, folder, [path]), safe_open(path, framework="pt") as file:
                tensors += file.keys()
        elif path.suffix == ".bin":
            tensors += _pickled_names(name, folder, path)
    for prefix in _WRAPPERS:
        if tensors and all(tensor.startswith(prefix) for tensor in tensors):
            raise _wrapped(prefix, folder)


def _pickled_names(name: str, folder: Path, path: Path) -> list[str]:
    with opened(name, folder, [path]):
        content = torch.load(
            path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        keys = list(map(str, content)) if isinstance(content, dict) else [type(content).__name__]
        raise RequestError(
            f"Backbone '{name}' could not be loaded from {folder}: {path.name} holds "
            f"{files.listed(keys)} instead of tensors by their names. Save the state_dict alone."
        )
    return list(content)


def check_complete(report: dict[str, Any], name: str, folder: Path) -> None:
    """Refuse weights that do not fit: transformers draws what is missing at random.

    Pooling on top of the encoder is not used, and often left out of a file.
    """
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    other = sorted(report["mismatched_keys"])
    what = ""
    if missing:
        what = f"lack {len(missing)} tensors of the encoder ({files.listed(missing)})"
        if prefix := _common_prefix(missing, report["unexpected_keys"]):
            raise _wrapped(prefix, folder)
    elif other:
        shapes = [f"{key}: {_shape(there)}, not {_shape(here)}" for key, there, here in other]
        what = (
            f"have another shape for {len(other)} tensors of the encoder ({files.listed(shapes)})"
        )
    if what:
        raise RequestError(
            f"The weights in {folder} are not those of its config.json: they {what}. Put the "
            f"config.json and the weights of one model there, or choose another backbone than "
            f"'{name}'."
        )


def _wrapped(prefix: str, folder: Path) -> RequestError:
    return RequestError(
        f"The names of the tensors in {folder} begin with '{prefix}', as a wrapper of the model "
        "leaves them (DistributedDataParallel, torch.compile, Lightning). Save the model inside "
        "with save_pretrained."
    )


def _common_prefix(missing: Iterable[str], there: Iterable[str]) -> str:
    """Return what stands before the names of all missing tensors in the file, if it is the same."""
    prefixes = {
        min((key.removesuffix(name) for key in there if key.endswith("." + name)), default="")
        for name in missing
    }
    return prefixes.pop() if len(prefixes) == 1 else ""


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))


def check_finite(body: Any, weights: list[Path]) -> None:
    """Refuse weights with NaN or infinite values in what is used of them."""
    for name, tensor in body.named_parameters():
        wrong = int(tensor.numel() - torch.isfinite(tensor).sum())
        if wrong and not name.startswith("pooler."):
            raise RequestError(
                f"{_holder(name, weights)} holds values that are NaN or infinite in '{name}' "
                f"({wrong} of {tensor.numel()}). Fetch it again, or choose a checkpoint from "
                "before the training went wrong."
            )


def _holder(tensor: str, weights: list[Path]) -> Path:
    """Return the file that holds a tensor, whose name there may have something before it."""
    index, *shards = weights
    if not shards:
        return index
    names: dict[str, str] = json.loads(index.read_bytes())["weight_map"]
    for name, file in names.items():
        if name == tensor or name.endswith("." + tensor):
            return index.parent / file
    return index.parent
