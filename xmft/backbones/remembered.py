"""What was found out about backbones before, so that plans start without transformers.

One small file in the cache: hashes of files as long as these do not change, and what passed the
checks, by the content of all that was read and the versions that read it.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xmft.cache import cache_root, whole
from xmft.errors import RequestError

# Raised when the checks become stricter: what passed before passes them again.
_CHECKS = 1


def recall(section: str, key: str) -> Any:
    """Return what is remembered; None: nothing."""
    return _content(str(_place())).get(section, {}).get(key)


def remember(section: str, key: str, value: Any) -> None:
    """Remember a value as JSON has it; a cache that cannot be written costs time alone."""
    place = _place()
    content = _content(str(place))
    content.setdefault(section, {})[key] = value
    with contextlib.suppress(OSError), whole(place) as temporary:
        # Others write there too: what they found out since is kept.
        merged = _read(place)
        for name, entries in content.items():
            merged[name] = {**merged.get(name, {}), **entries}
        temporary.write_text(json.dumps(merged), encoding="utf-8")


def identity(fingerprint: str, families: Mapping[str, object]) -> str:
    """Return the key for what was found out about a backbone of this content.

    Args:
        fingerprint: Of all of its files.
        families: Known families; a plug-in may add one that takes it.
    """
    return f"{fingerprint} {_CHECKS} {version('transformers')} {','.join(sorted(families))}"


def fingerprint_or_none(name: str) -> str | None:
    """Return the fingerprint of a backbone that is read from files, None for others."""
    from xmft.backbones.weights import locate_weights, weights_fingerprint

    try:
        return weights_fingerprint(name) if locate_weights(name) is not None else None
    except RequestError:
        # There are no weights: its configuration may still be read.
        return None


def _place() -> Path:
    return cache_root() / "backbones.json"


@functools.cache
def _content(place: str) -> dict[str, dict[str, Any]]:
    return _read(Path(place))


def _read(place: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(content, dict) and all(isinstance(v, dict) for v in content.values())
    return content if usable else {}
