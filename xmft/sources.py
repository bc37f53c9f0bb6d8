"""Source proxies: what the backbone was pretrained on, in small, with labels.

Alignment needs features of the source modality and, for RECRAFT, a predictor of its labels.
Both depend on the backbone and the proxy alone, so they are computed once and kept on disk.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from xmft.backbones import Backbone
from xmft.errors import DataError
from xmft.registry import Registry
from xmft.source_predictor import (
    PredictorConfig,
    SourcePredictor,
    SourceSequences,
    train_predictor,
)
from xmft.stdlib_docs import stdlib_passages

_VERSION = 3
_FORWARD_BATCH = 64


class SourceConfig(BaseModel):
    """How much of the proxy is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    samples: int = Field(5000, ge=16, description="source sequences used for alignment")
    tokens: int = Field(32, ge=2, description="length of a source sequence")


@dataclass(frozen=True, kw_only=True)
class SourceFeatures:
    """Token-mean features of the source and their labels.

    Attributes:
        pooled: `[n, d]`, mean over tokens of the pretrained embedding.
        labels: `[n]` int64.
        classes: Number of source classes.
    """

    pooled: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    classes: int


def _stdlib_docs(backbone: Backbone, config: SourceConfig) -> SourceSequences:
    # A passage shorter than the window is dropped: without padding no mask is needed, and the
    # features are those of full windows only.
    passages = stdlib_passages(limit=3 * config.samples)
    windows: list[list[int]] = []
    labels: list[int] = []
    for ids, label in zip(backbone.tokenize(list(passages.texts)), passages.labels, strict=True):
        if len(ids) >= config.tokens and len(windows) < config.samples:
            windows.append(ids[: config.tokens])
            labels.append(int(label))
    if len(windows) < 16:
        raise DataError(
            f"stdlib-docs gave {len(windows)} passages of {config.tokens} tokens; at least 16 "
            "are needed. Lower source.tokens."
        )
    return SourceSequences(
        ids=torch.tensor(windows),
        labels=torch.tensor(labels),
        classes=len(passages.classes),
        fingerprint=passages.fingerprint,
    )


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A source modality.

    Attributes:
        version: What its content depends on beside its name; part of the cell id.
        sequences: Makes labelled token sequences in the backbone's own vocabulary.
    """

    version: str
    sequences: Callable[[Backbone, SourceConfig], SourceSequences]


PROXIES: Registry[Proxy] = Registry("source proxy")
PROXIES.add(
    "stdlib-docs",
    Proxy(
        version=f"{platform.python_implementation()}-{platform.python_version()}",
        sequences=_stdlib_docs,
    ),
)


def proxy_identity(name: str) -> str:
    """Return name and version of a proxy, as they stand in a cell.

    Raises:
        RequestError: unknown proxy.
    """
    return f"{name}@{PROXIES[name].version}"


def proxy_name(identity: str | None) -> str:
    """Return the name in what `proxy_identity` made; empty for methods without a source."""
    return (identity or "").partition("@")[0]


class Source:
    """Lazy access to the artefacts of one proxy under one backbone."""

    def __init__(self, proxy: str, backbone: Backbone, config: SourceConfig, cache: Path) -> None:
        """Prepare; nothing is computed before it is asked for.

        Args:
            proxy: Name in `PROXIES`.
            backbone: Backbone, cut to its layers.
            config: How much of the proxy is used.
            cache: Folder for artefacts, shared by all cells and processes.
        """
        self.proxy = proxy
        self._backbone = backbone
        self._config = config
        self._cache = cache
        self._sequences: SourceSequences | None = None

    def features(self, device: torch.device) -> SourceFeatures:
        """Return pooled source features on `device`."""
        stored = self._artefact("features", {}, self._compute_features)
        return SourceFeatures(
            pooled=stored["pooled"].to(device),
            labels=stored["labels"].to(device),
            classes=int(stored["classes"]),
        )

    def predictor(self, config: PredictorConfig, device: torch.device) -> SourcePredictor:
        """Return the trained source predictor on `device`."""
        settings = {**config.model_dump(), "layers": self._backbone.layers}
        stored = self._artefact("predictor", settings, lambda: self._train(config, device))
        return SourcePredictor(**stored).to(device)

    def _artefact(
        self, kind: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Read an artefact from the cache, or compute it there while others wait."""
        key = json.dumps(
            {
                "version": _VERSION,
                "kind": kind,
                "proxy": proxy_identity(self.proxy),
                "backbone": self._backbone.fingerprint,
                "source": self._config.model_dump(),
                **settings,
            },
            sort_keys=True,
        )
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        path = self._cache / "source" / f"{kind}-{name}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.is_file():
                temporary = path.with_suffix(".part")
                torch.save(compute(), temporary)
                temporary.replace(path)
            stored: dict[str, Any] = torch.load(path, weights_only=True)
            return stored

    def _load(self) -> SourceSequences:
        if self._sequences is None:
            self._sequences = PROXIES[self.proxy].sequences(self._backbone, self._config)
        return self._sequences

    def _compute_features(self) -> dict[str, Any]:
        sequences = self._load()
        with torch.inference_mode():
            pooled = torch.cat(
                [
                    self._backbone.embed_source(ids).mean(dim=1)
                    for ids in sequences.ids.split(_FORWARD_BATCH)
                ]
            )
        # clone: an inference tensor could take no part in autograd later.
        return {
            "pooled": pooled.clone(),
            "labels": sequences.labels,
            "classes": sequences.classes,
        }

    def _train(self, config: PredictorConfig, device: torch.device) -> dict[str, Any]:
        predictor = train_predictor(self._backbone, self._load(), config, device)
        return dict(vars(predictor.to(torch.device("cpu"))))
