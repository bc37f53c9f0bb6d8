"""Which files of a folder in the Hugging Face layout are read, and what they hold as one identity.

Reading sees these files and no others: adapters, code and whatever else lies beside them have no
part in a backbone, and what has a part in it is in its fingerprint.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xmft.backbones.remembered import recall, remember
from xmft.cache import digest
from xmft.errors import RequestError

CONFIGURATION = ("config.json", "config.*.json")
# Vocabularies by the names that transformers' tokenizers give them.
TOKENIZER = (
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab*", "merges.txt", "bpe.codes", "dict.txt", "emoji.json", "byte_maps.json"),
    *("entity_vocab.json", "target_vocab.json", "normalizer.json", "word_*.json", "tekken.json"),
    *("*.tokenizer", "*.model", "*.spm"),
)
# One file or an index of several; safetensors first, as transformers chooses.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
SAFETENSORS = (*_WEIGHTS[0], "model-*.safetensors")
PICKLED = (*_WEIGHTS[1], "pytorch_model-*.bin")
ADAPTER = "adapter_config.json"
# What other tools call weights; named where there are none that can be read.
_OTHER_WEIGHTS = {
    *(".bin", ".ckpt", ".gguf", ".h5", ".index", ".msgpack", ".onnx", ".pt", ".pth"),
    ".safetensors",
}
# How many names of files a message shows.
_SHOWN = 3
# Hashes of larger files are kept from one process to the next.
_LARGE_BYTES = 2**20
# Begins the fingerprint of weights that were read: it says all, wherever they lie.
READ = "files:"


def matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the files of a folder that match any of the patterns, by name."""
    found = {path.name: path for pattern in patterns for path in folder.glob(pattern)}
    return [found[name] for name in sorted(found) if found[name].is_file()]


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights, their index first if there is one.

    Raises:
        RequestError: there are none, or some of those in the index are missing.
    """
    for single, index in _WEIGHTS:
        if (folder / single).is_file():
            return [folder / single]
        if (folder / index).is_file():
            return [folder / index, *_shards(folder / index)]
    others = [path.name for path in sorted(folder.iterdir()) if path.suffix in _OTHER_WEIGHTS]
    found = f"; found {listed(others)}" if others else ""
    hint = _adapter_hint(folder)
    raise RequestError(
        f"Backbone folder {folder} has no weights (model.safetensors or pytorch_model.bin){found}. "
        + (hint or "Save the model there with save_pretrained.")
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
        if not names:
            raise ValueError("its weight_map is empty")
        shards = [index.parent / name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            f"{index} is no index of weights ({type(error).__name__}: {error}). Fetch it again."
        ) from error
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise RequestError(
            f"{index} names files outside of its folder ({listed(outside)}), which are not read. "
            "Put them beside it."
        )
    missing = [path.name for path in shards if not path.is_file()]
    if missing:
        raise RequestError(
            f"Backbone folder {index.parent} lacks {listed(missing)}, which {index.name} names. "
            "Fetch it again."
        )
    return shards


def check_configured(folder: Path) -> None:
    """Refuse a folder without a configuration; say where one lies if it is near.

    Raises:
        RequestError: there is no config.json.
    """
    if (folder / "config.json").is_file():
        return
    hint = _adapter_hint(folder)
    if hint is None:
        below = sorted(path.parent for path in folder.glob("*/config.json"))
        # As sentence-transformers lays out its models.
        hint = f"One lies in {below[0]}: give that folder." if below else ""
    raise RequestError(f"Backbone folder {folder} has no config.json. {hint}".rstrip())


def _adapter_hint(folder: Path) -> str | None:
    what = adapter_of(folder)
    if what is None:
        return None
    return (
        f"It holds an adapter ({what}), and adapters are not applied: merge it into its base "
        "(merge_and_unload of peft), save that, and give its folder."
    )


def adapter_of(folder: Path) -> str | None:
    """Return what is said of an adapter that lies in a folder; None where there is none."""
    path = folder / ADAPTER
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        kind, base = content.get("peft_type"), content.get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        return ADAPTER
    return f"{ADAPTER}: {kind or 'of unknown kind'} of {base or 'an unknown base'}"


def fingerprint(folder: Path) -> str:
    """Return the identity of all that reading a folder reads, wherever the folder lies.

    Raises:
        RequestError: it holds no weights.
    """
    content = hashlib.sha256()
    for path in (*matching(folder, (*CONFIGURATION, *TOKENIZER)), *weight_files(folder)):
        status = path.stat()
        state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        content.update(path.name.encode() + b"\0")
        content.update(bytes.fromhex(_digest(path, state)))
    return READ + content.hexdigest()


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, state: tuple[int, ...]) -> str:
    """Hash a file once, as long as it stays as it is."""
    if path.stat().st_size < _LARGE_BYTES:
        return digest(path)
    key = str(path.resolve())
    known = recall("digests", key)
    if isinstance(known, list) and len(known) == 2 and known[0] == list(state):
        return str(known[1])
    found = digest(path)
    remember("digests", key, [list(state), found])
    return found


@contextmanager
def alone(files: Iterable[Path]) -> Iterator[Path]:
    """Yield a folder with links to some files and nothing else in it."""
    with tempfile.TemporaryDirectory(prefix="xmft-") as view:
        for path in files:
            (Path(view) / path.name).symlink_to(path.resolve())
        yield Path(view)


def listed(names: list[str]) -> str:
    """Return the first of many names, for a message."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
