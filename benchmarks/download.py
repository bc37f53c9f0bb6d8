"""Where the official files of a task can be had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to be had from the network.

    Attributes:
        path: Where it goes, below `<data root>/<suite>/<task>`.
        urls: Where it lies, tried in this order.
        size: Bytes, as stated by who released it; None: not stated.
        about: Whether the stated size is rounded.
        checksum: `md5:` or `sha256:` and the digits; None: none is published, and what is fetched
            first is what it has to be from then on.
        unpack: It is an archive, unpacked beside itself.
        note: Where else people find it, one sentence.
    """

    path: PurePosixPath
    urls: tuple[str, ...]
    size: int | None = None
    about: bool = True
    checksum: str | None = None
    unpack: bool = False
    note: str = ""
