"""The ways to fine-tune across modalities, by name."""

# Importing registers them.
from xmft.methods import mona, nft, operators, orca, pare, recraft, trivial  # noqa: F401
from xmft.methods.method import Context, Method, methods

__all__ = ["Context", "Method", "methods"]
