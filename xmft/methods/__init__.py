"""The ways to fine-tune across modalities, by name."""

from xmft.methods import nft, orca, recraft  # noqa: F401  (importing registers them)
from xmft.methods.method import Context, Method, methods

__all__ = ["Context", "Method", "methods"]
