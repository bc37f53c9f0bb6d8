"""The command line: `xmft`."""

from runner.cli.app import app

__all__ = ["app"]
