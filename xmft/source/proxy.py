"""What a source proxy is: a small labelled sample of what an encoder was pretrained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Int, UInt8
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from xmft.backbones import Backbone
from xmft.backbones.weights import Modality
from xmft.errors import DataError, RequestError
from xmft.registry import Registry

# Fewer samples make no distribution that a target could be brought near to.
FEWEST_SAMPLES = 16


class SourceConfig(BaseModel):
    """How much of the proxy is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    samples: int = Field(
        5000, ge=FEWEST_SAMPLES, description="source samples used; all where there are fewer"
    )
    tokens: int = Field(32, ge=2, description="length of a source sequence; text only")


@dataclass(frozen=True, kw_only=True)
class SourceSamples:
    """Labelled samples of a source proxy, as `Backbone.embed_source` takes them.

    Attributes:
        inputs: Token ids in the backbone's vocabulary `[n, t]`, all sequences of one length; or
            images `[n, 3, h, w]`, uint8.
        labels: Class of each sample, 0 to classes - 1; a class may be empty.
        classes: Number of classes.
        fingerprint: Identity of what they were made of.
    """

    inputs: Int[Tensor, "n t"] | UInt8[Tensor, "n 3 h w"]
    labels: Int[Tensor, " n"]
    classes: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A source proxy. Which samples it gives depends on nothing but its content and the options.

    Attributes:
        modality: What kind of encoder it is for.
        classes: Number of classes.
        title: What it is and where it comes from, in one line for people.
        identity: From the data root to what the content depends on beside the name; part of the
            cell id. Raises a RequestError when the files are not there.
        samples: Makes the samples for a backbone, a fixed subset, from the data root.
        default: Whether encoders of its modality take it where no proxy is named.
    """

    modality: Modality
    classes: int
    title: str
    identity: Callable[[Path], str]
    samples: Callable[[Backbone, SourceConfig, Path], SourceSamples]
    default: bool = False


PROXIES: Registry[Proxy] = Registry("source proxy")


def proxy_identity(name: str, data_root: Path) -> str:
    """Return name and version of a proxy, as they stand in a cell.

    Raises:
        RequestError: unknown proxy, or its files are not under the data root.
    """
    return f"{name}@{PROXIES[name].identity(data_root)}"


def default_proxy(modality: Modality) -> str:
    """Return the proxy of encoders of a modality where none is named; it needs no files."""
    return next(n for n, proxy in PROXIES.items() if proxy.default and proxy.modality == modality)


def proxy_name(identity: str | None) -> str:
    """Return the name in what `proxy_identity` made; empty for methods without a source."""
    return (identity or "").partition("@")[0]


def check_modality(name: str, modality: Modality, backbone: str, *, task: str = "") -> None:
    """Make sure that a proxy is of the modality of a backbone.

    Args:
        name: Name in `PROXIES`.
        modality: What the backbone was pretrained on.
        backbone: Its name, for the message.
        task: The task that both are for, likewise; empty if unknown.

    Raises:
        RequestError: unknown proxy, or one of another modality.
    """
    proxy = PROXIES[name]
    if proxy.modality != modality:
        fitting = [other for other, entry in PROXIES.items() if entry.modality == modality]
        where = f" of task '{task}'" if task else ""
        raise RequestError(
            f"Source proxy '{name}'{where} is for {proxy.modality} encoders, but backbone "
            f"'{backbone}' is a {modality} encoder. "
            f"Set source to one of: {', '.join(sorted(fitting))}."
        )


def checked(samples: SourceSamples, name: str) -> SourceSamples:
    """Return the samples of proxy `name` if they can be used.

    Raises:
        DataError: there are too few, or of one class only.
    """
    if len(samples) < FEWEST_SAMPLES:
        raise DataError(
            f"Source proxy '{name}' gave {len(samples)} samples; at least {FEWEST_SAMPLES} are "
            "needed. Use more of its data, or another proxy."
        )
    found = samples.labels.unique().tolist()
    if len(found) < 2 or found[0] < 0 or found[-1] >= samples.classes:
        raise DataError(
            f"Source proxy '{name}' gave the labels {found}; needed are two or more of "
            f"0..{samples.classes - 1}. Check its files."
        )
    return samples
