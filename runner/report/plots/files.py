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
    contents = {f"{plot.name}.png": plot.png, f"{plot.name}.svg": plot.svg}
    for path, content in contents.items():
        write_drawn(f"The plot {path}", path, content, folder)
    return [*contents]


def write_drawn(what: str, path: str, content: bytes, folder: Storage) -> None:
    """Write what was drawn, whole or not at all.

    Args:
        what: It is, at the start of a sentence.
        path: Of the file, relative to the folder.
        content: Of the file.
        folder: Where it goes.

    Raises:
        RequestError: it cannot be written.
    """
    try:
        folder.write(path, content)
    except OSError as error:
        raise RequestError(
            f"{what} cannot be written to {folder.shown} ({folder.told(error)}). "
            "Name a writable folder with --out."
        ) from error
