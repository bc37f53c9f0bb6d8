"""Grids that come with the package: `xmft list grids`."""
