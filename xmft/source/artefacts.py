"""A source proxy under one backbone: its samples, their features and a predictor of their labels.

Alignment needs features of the source modality and, for RECRAFT, a predictor of its labels.
All of it depends on the backbone and the proxy alone, so it is computed once and kept on disk.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from xmft.backbones import Backbone
from xmft.cache import once
from xmft.flops import uncounted
from xmft.source import (
    PROXIES,
    SourceConfig,
    SourceSamples,
    check_modality,
    proxy_identity,
)
from xmft.source.predictor import PredictorConfig, SourcePredictor, train_predictor
from xmft.source.proxy import checked

__all__ = ["Source", "SourceConfig", "SourceFeatures", "SourceSamples", "proxy_identity"]

_VERSION = 4
_FORWARD_BATCH = 64


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


class Source:
    """Lazy access to the artefacts of one proxy under one backbone.

    Their tensors are shared by all who ask for them in a process and must not be written to.
    """

    def __init__(
        self, proxy: str, backbone: Backbone, config: SourceConfig, cache: Path, data_root: Path
    ) -> None:
        """Prepare; nothing is computed before it is asked for.

        Args:
            proxy: Name in `PROXIES`.
            backbone: Backbone, cut to its layers.
            config: How much of the proxy is used.
            cache: Folder for artefacts, shared by all cells and processes.
            data_root: Folder below which the official files of a proxy are looked for.
        """
        self.proxy = proxy
        self._backbone = backbone
        self._config = config
        self._cache = cache
        self._data_root = data_root

    def samples(self) -> SourceSamples:
        """Return the labelled samples, in the order of the features.

        Raises:
            RequestError: the proxy is unknown, does not fit the backbone, or has no files.
            DataError: its files are damaged or hold too little.
        """
        return SourceSamples(**self._artefact("samples", {}, self._make_samples))

    def features(self, device: torch.device) -> SourceFeatures:
        """Return pooled source features on `device`."""
        stored = self._artefact("features", {}, lambda: self._compute_features(device))
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

    @functools.cached_property
    def _identity(self) -> str:
        return proxy_identity(self.proxy, self._data_root)

    def _artefact(
        self, kind: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Read an artefact from the cache, or compute it there while others wait."""
        key = json.dumps(
            {
                "version": _VERSION,
                "kind": kind,
                "proxy": self._identity,
                "backbone": self._backbone.fingerprint,
                "source": self._config.model_dump(),
                **settings,
            },
            sort_keys=True,
        )
        # Spaced as it always was, unlike `cache.key`: artefacts in a cache keep their names.
        name = hashlib.sha256(key.encode()).hexdigest()[:24]
        path = self._cache / "source" / f"{kind}-{name}.pt"
        return once(
            path,
            lambda temporary: torch.save(uncounted(compute), temporary),
            lambda path: _read(path) if path.is_file() else None,
        )

    def _make_samples(self) -> dict[str, Any]:
        backbone = self._backbone
        check_modality(self.proxy, backbone.modality, backbone.id)
        made = PROXIES[self.proxy].samples(backbone, self._config, self._data_root)
        return dict(vars(checked(made, self.proxy)))

    def _compute_features(self, device: torch.device) -> dict[str, Any]:
        samples = self.samples()
        with _on(self._backbone.source_embedder, device), torch.inference_mode():
            pooled = torch.cat(
                [
                    self._backbone.embed_source(inputs.to(device)).mean(dim=1).cpu()
                    for inputs in samples.inputs.split(_FORWARD_BATCH)
                ]
            )
        # clone: an inference tensor could take no part in autograd later.
        return {
            "pooled": pooled.clone(),
            "labels": samples.labels,
            "classes": samples.classes,
        }

    def _train(self, config: PredictorConfig, device: torch.device) -> dict[str, Any]:
        with _on(self._backbone.source_embedder, device):
            predictor = train_predictor(self._backbone, self.samples(), config, device)
        return dict(vars(predictor.to(torch.device("cpu"))))


# Named by content, so what was read once is right for as long as the process lives. Cells that
# follow one another in a process mostly share the three artefacts of their source.
@functools.lru_cache(maxsize=6)
def _read(path: Path) -> dict[str, Any]:
    stored: dict[str, Any] = torch.load(path, weights_only=True)
    return stored


@contextmanager
def _on(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Move a module to `device` for a computation, and then back."""
    home = next(module.parameters()).device
    module.to(device)
    try:
        yield
    finally:
        module.to(home)
