"""Where commands look for data, and put them."""

from __future__ import annotations

from pathlib import Path

from xmft.errors import RequestError


def data_root(data: Path | None, *, make: bool = False) -> Path:
    """Return the absolute data root.

    Args:
        data: As said with --data.
        make: Make the folder, in one that is there: for commands that are to fill it.

    Raises:
        RequestError: --data names no folder, or it cannot be made.
    """
    from benchmarks.files import default_data_root

    try:
        root = default_data_root() if data is None else data.expanduser()
    except RuntimeError as error:  # ~somebody who does not exist
        raise RequestError(f"The data root {data}: {error}") from None
    if data is not None and make and not root.exists():
        try:
            root.mkdir()
        except OSError as error:
            raise RequestError(
                f"The data root {root} given with --data cannot be made ({error.strerror})."
            ) from None
    if data is not None and not root.is_dir():
        raise RequestError(f"The data root {root} given with --data is not a folder.")
    return root.absolute()
