"""Source proxies by name: what encoders were pretrained on, in small, with labels."""

# Importing registers them.
from xmft.source import cifar10, conll2003, procedural_images, stdlib_docs  # noqa: F401
from xmft.source.proxy import (
    PROXIES,
    Proxy,
    SourceConfig,
    SourceSamples,
    check_modality,
    default_proxy,
    proxy_identity,
    proxy_name,
)

__all__ = [
    "PROXIES",
    "Proxy",
    "SourceConfig",
    "SourceSamples",
    "check_modality",
    "default_proxy",
    "proxy_identity",
    "proxy_name",
]
