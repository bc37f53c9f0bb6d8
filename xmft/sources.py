"""Source proxies: what the backbone was pretrained on, in small, with labels.

Alignment needs features of the source modality and, for RECRAFT, a predictor of its labels.
Both depend on the backbone and the proxy alone, so they are computed once and kept on disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from xmft.alignment.lipschitz import gradient_norms, lipschitz_penalty, violation_share
from xmft.backbones import Backbone
from xmft.errors import DataError
from xmft.registry import Registry
from xmft.seeding import generator, seed_everything
from xmft.stdlib_docs import stdlib_passages

_VERSION = 1
_FORWARD_BATCH = 64


class SourceConfig(BaseModel):
    """How much of the proxy is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    samples: int = Field(5000, ge=16, description="source sequences used for alignment")
    tokens: int = Field(32, ge=2, description="length of a source sequence")


class PredictorConfig(BaseModel):
    """How the source predictor p_s is trained, and how its gradient is bounded.

    The published values are 10 plain and 10 regularised epochs, threshold 0.4, weight 100
    (2-D code; its 1-D code has no bound). The plain phase here is logistic regression on cached
    features, so more epochs cost nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    plain_epochs: int = Field(30, ge=1)
    bounded_epochs: int = Field(2, ge=0)
    bounded_samples: int = Field(512, ge=1, description="sequences seen in a bounded epoch")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    threshold: float = Field(0.4, gt=0, description="bound on the per-sample gradient norm")
    penalty_weight: float = Field(100.0, ge=0)


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


@dataclass(frozen=True, kw_only=True)
class SourcePredictor:
    """The linear head of p_s(z|u) = softmax(W mean_t g(u) + b), with what is known about it.

    Attributes:
        weight: `[classes, d]`.
        bias: `[classes]`.
        accuracy: On held-out source sequences.
        gradient_norm: Mean per-sample norm of the loss gradient in u, held out.
        violations: Share of held-out sequences whose norm exceeds the threshold.
    """

    weight: Float[Tensor, "classes d"]
    bias: Float[Tensor, " classes"]
    accuracy: float
    gradient_norm: float
    violations: float


@dataclass(frozen=True, kw_only=True)
class _Sequences:
    ids: Int[Tensor, "n t"]
    labels: Int[Tensor, " n"]
    classes: int
    fingerprint: str


def _stdlib_docs(backbone: Backbone, config: SourceConfig) -> _Sequences:
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
    return _Sequences(
        ids=torch.tensor(windows),
        labels=torch.tensor(labels),
        classes=len(passages.classes),
        fingerprint=passages.fingerprint,
    )


# A proxy turns into labelled token sequences of the backbone's own vocabulary.
PROXIES: Registry[Callable[[Backbone, SourceConfig], _Sequences]] = Registry("source proxy")
PROXIES.add("stdlib-docs", _stdlib_docs)


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
        self._sequences: _Sequences | None = None

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
        return SourcePredictor(
            weight=stored["weight"].to(device),
            bias=stored["bias"].to(device),
            accuracy=float(stored["accuracy"]),
            gradient_norm=float(stored["gradient_norm"]),
            violations=float(stored["violations"]),
        )

    def _artefact(
        self, kind: str, settings: dict[str, Any], compute: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """Read an artefact from the cache, or compute it there while others wait."""
        key = json.dumps(
            {
                "version": _VERSION,
                "kind": kind,
                "proxy": self.proxy,
                "backbone": self._backbone.fingerprint,
                "source": self._config.model_dump(),
                "text": self._load().fingerprint,
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

    def _load(self) -> _Sequences:
        if self._sequences is None:
            self._sequences = PROXIES[self.proxy](self._backbone, self._config)
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
        """Train the linear head: plain on cached features, then with bounded gradients."""
        sequences = self._load()
        seed_everything("source predictor")
        encoder = self._backbone.encoder.to(device).eval()
        frozen = [p for p in encoder.parameters() if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            return _train_head(encoder, self._backbone, sequences, config, device)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)


def _train_head(
    encoder: nn.Module,
    backbone: Backbone,
    sequences: _Sequences,
    config: PredictorConfig,
    device: torch.device,
) -> dict[str, Any]:
    ids, labels = sequences.ids, sequences.labels.to(device)
    with torch.inference_mode():
        encoded = torch.cat(
            [
                encoder(backbone.embed_source(block).to(device)).mean(dim=1)
                for block in ids.split(_FORWARD_BATCH)
            ]
        )
    encoded = encoded.clone()
    order = torch.from_numpy(generator("source predictor").permutation(len(ids)))
    held_out, train = order[: len(ids) // 10], order[len(ids) // 10 :]
    head = nn.Linear(encoded.shape[1], sequences.classes, device=device)
    optimizer = torch.optim.AdamW(
        head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    for epoch in range(config.plain_epochs):
        for batch in _shuffled(train, config.batch_size, "plain", epoch):
            loss = functional.cross_entropy(head(encoded[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def norms(batch: Tensor, *, create_graph: bool) -> tuple[Tensor, Tensor]:
        """Return per-sample losses and the norms of their gradients in u."""
        kept: list[Tensor] = []

        def per_sample(u: Tensor) -> Tensor:
            logits = head(encoder(u).mean(dim=1))
            kept.append(functional.cross_entropy(logits, labels[batch], reduction="none"))
            return kept[-1]

        tokens = backbone.embed_source(ids[batch]).to(device)
        # Fused attention has no second derivative.
        with sdpa_kernel(SDPBackend.MATH):
            return gradient_norms(per_sample, tokens, create_graph=create_graph), kept[-1]

    for epoch in range(config.bounded_epochs):
        for batch in _shuffled(
            train, config.batch_size, "bounded", epoch, limit=config.bounded_samples
        ):
            norm, losses = norms(batch, create_graph=True)
            penalty = lipschitz_penalty(norm, config.threshold)
            optimizer.zero_grad()
            (losses.mean() + config.penalty_weight * penalty).backward()
            optimizer.step()

    probe = held_out[: config.bounded_samples]
    measured = torch.cat(
        [norms(batch, create_graph=False)[0].detach() for batch in probe.split(_FORWARD_BATCH)]
    )
    with torch.inference_mode():
        right = head(encoded[held_out]).argmax(dim=1) == labels[held_out]
    return {
        "weight": head.weight.detach().cpu(),
        "bias": head.bias.detach().cpu(),
        "accuracy": right.float().mean().item(),
        "gradient_norm": measured.mean().item(),
        "violations": violation_share(measured, config.threshold),
    }


def _shuffled(
    indices: Tensor, batch_size: int, phase: str, epoch: int, *, limit: int | None = None
) -> tuple[Tensor, ...]:
    order = torch.from_numpy(generator(phase, epoch).permutation(len(indices)))
    return indices[order[:limit]].split(batch_size)
