"""What these tests share with those of single runs."""

from tests.ray.conftest import environment, grid, uninterrupted, xmft

__all__ = ["environment", "grid", "uninterrupted", "xmft"]
