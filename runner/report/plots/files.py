"""Plots as files."""

from __future__ import annotations

from runner.report.plots.plot import Plot
from runner.storage import Storage
from xmft.errors import RequestError


def write_plot(plot: Plot, folder: Storage) -> list[str]:
    """Write a plot as `<name>.png` and `<name>.svg`.

    Args:
        plot: The plot.
        folder: Where the files go; each appears whole or not at all.

    Returns:
        The paths, relative to the folder.

    Raises:
        RequestError: a file cannot be written.
    """
    written = []
    for path, content in ((f"{plot.name}.png", plot.png), (f"{plot.name}.svg", plot.svg)):
        try:
            folder.write(path, content)
        except OSError as error:
            raise RequestError(
                f"The plot {path} cannot be written to {folder.shown} ({folder.told(error)}). "
                "Name a writable folder with --out."
            ) from error
        written.append(path)
    return written
