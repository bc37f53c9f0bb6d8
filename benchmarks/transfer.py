"""One file from one address, going on where the connection broke off.

What has arrived lies in `<name>.part`. Beside it `<name>.part.json` says which address it came
from, how long the whole is, and by which mark (`ETag`, or the date of the last change) the server
knows this version of it, so that the ends of two versions are never put together.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.files import Progress, size_text
from benchmarks.room import NoRoomError, check_room
from xmft.unreadable import disguise_of, no_room, web_page

WAIT_SECONDS = 60.0
"""How long a server may say nothing."""

PAUSE_SECONDS = 2.0
"""Before a connection that broke off is made anew."""

_TRIES = 3
_HEAD = 2**16
_BLOCK = 2**20
_RANGE_NOT_SATISFIABLE = 416
_PARTIAL_CONTENT = 206
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
# The last of several files of one zip archive begins otherwise; a checksum, if any, tells better.
_STARTS = {".zip": b"PK", ".gz": b"\x1f\x8b", ".tgz": b"\x1f\x8b"}


class RefusedError(OSError):
    """The address does not give the file, however often it is asked."""


class _OtherVersionError(OSError):
    """What has arrived is the beginning of something else."""


@dataclass(kw_only=True)
class Transfer:
    """A file on its way.

    Attributes:
        target: Where it goes in the end; what has arrived is kept beside it.
        stated: Its size for people; empty where it is not stated.
        trusted: A checksum is known, which finds out what does not belong together.
        check_size: Called with the length of the whole as the server says it; raises a
            `RefusedError` where that cannot be the file.
        progress: Called with bytes done and bytes in all.
        say: Called with sentences for people.
        glued: What has arrived came in more than one piece.
    """

    target: Path
    stated: str
    trusted: bool
    check_size: Callable[[int], None]
    progress: Progress
    say: Callable[[str], None]
    glued: bool = False

    @property
    def part(self) -> Path:
        """Where what has arrived is kept."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def arrived(self) -> int:
        """Bytes that have arrived."""
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Throw away what has arrived."""
        self.part.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def run(self, url: str) -> None:
        """Get the whole file into `part`.

        Args:
            url: Where it lies.

        Raises:
            NoRoomError: the disk has no room for it.
            OSError: the address does not give it, or broke off again and again.
            http.client.HTTPException: likewise.
        """
        failed, connected, fresh = 0, False, False
        while failed < _TRIES:
            before = self.arrived
            try:
                self._ask(url, fresh=fresh)
                return
            except _OtherVersionError as error:
                self.say(f"{self.target.name} starts again: {error}")
                failed, fresh = failed + 1, True
                last: Exception = error
                continue
            except (NoRoomError, RefusedError, urllib.error.HTTPError):
                raise
            except (OSError, http.client.HTTPException) as error:
                if no_room(error):
                    raise
                gained = self.arrived - before
                connected = connected or gained > 0
                if not connected:
                    raise
                failed, fresh = 0 if gained >= _BLOCK else failed + 1, False
                last = error
            if failed < _TRIES:
                time.sleep(PAUSE_SECONDS)
        raise last

    @property
    def _notes(self) -> Path:
        return self.part.with_name(f"{self.part.name}.json")

    def _ask(self, url: str, *, fresh: bool) -> None:
        noted = self._noted()
        same = noted.get("url") == url
        mark = noted.get("mark") if same else None
        # Otherwise nobody could tell whether it is the beginning of what comes now.
        have = self.arrived if (self.trusted or mark) and not fresh else 0
        asked = {"User-Agent": "xmft", "Accept-Encoding": "identity"}
        if have:
            asked |= {"Range": f"bytes={have}-"} | ({"If-Range": mark} if mark else {})
        try:
            answer = urllib.request.urlopen(
                urllib.request.Request(url, headers=asked), timeout=WAIT_SECONDS
            )
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != _RANGE_NOT_SATISFIABLE or not have:
                raise
            self._nothing_behind(have, error.headers, noted if same else {})
            return
        with answer:
            self._take(answer, url, have, noted if same else {})

    def _nothing_behind(self, have: int, headers: Any, noted: dict[str, Any]) -> None:
        """Decide what it means that there is nothing behind what we have."""
        total, before = _total(headers), noted.get("total")
        self.glued = True
        # Where the server says nothing or contradicts itself, the checksum tells if it is whole.
        if self.trusted and total in (None, have):
            return
        if total == have and before in (None, have):
            return
        raise _OtherVersionError(
            f"{have} bytes have arrived, the server has {total}"
            + (f" and said {before}" if before not in (None, total) else "")
        )

    def _take(self, answer: Any, url: str, have: int, noted: dict[str, Any]) -> None:
        kind = answer.headers.get_content_type()
        if kind in _PAGES:
            raise RefusedError(
                f"it sends a web page ({kind}), as servers do that want a login, ask whether to go "
                "on, or have no such file"
            )
        mark = _mark(answer.headers)
        length = answer.length  # None: not said
        if answer.status == _PARTIAL_CONTENT and have:
            total = self._behind(answer.headers, have, length, mark, noted)
        else:
            if have:
                self.say(
                    f"{self.target.name} starts again: the server sends it from its start, which "
                    "it does where it has changed or cannot go on"
                )
            have, total = 0, length
        head = b""
        if not have:
            head = answer.read(_HEAD if total is None else min(_HEAD, total))
            self._check_start(head, total)
        if total is not None:
            self.check_size(total)
            check_room(self.target.parent, total - have, self.target.name)
        self._announce(url, have, total)
        self.glued = have > 0
        if not have:
            self.discard()  # not before it is sure that something better comes
            self.part.parent.mkdir(parents=True, exist_ok=True)
            notes = {"url": url, "mark": mark, "total": total}
            self._notes.write_text(json.dumps(notes), encoding="utf-8")
        self._write(answer, head, have, total)

    def _announce(self, url: str, have: int, total: int | None) -> None:
        size = self.stated or "a file of unknown size" if total is None else size_text(total)
        on = f", going on behind {size_text(have)}" if have else ""
        self.say(f"{self.target.name}: {size} from {urlsplit(url).netloc}{on}")

    def _behind(
        self, headers: Any, have: int, length: int | None, mark: str | None, noted: dict[str, Any]
    ) -> int | None:
        """Return how long the whole is, of which the server sends what is behind `have`."""
        start = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
        if start is None and not self.trusted:
            raise _OtherVersionError("the server does not say which bytes it sends")
        if start is not None and int(start[1]) != have:
            raise _OtherVersionError(f"the server sends bytes {start[1]} and more, not {have}")
        if mark and noted.get("mark") and mark != noted["mark"]:
            raise _OtherVersionError("the server has another version of it by now")
        total = _total(headers)
        if total is None and length is not None:
            total = have + length
        before = noted.get("total")
        if before is not None and total is not None and before != total:
            raise _OtherVersionError(f"the server has {total} bytes by now, before {before}")
        return total

    def _write(self, answer: Any, head: bytes, have: int, total: int | None) -> None:
        self.progress(have, total or have)
        with self.part.open("ab" if have else "wb") as stream:
            block = head
            while True:
                stream.write(block)
                have += len(block)
                if block:
                    self.progress(have, total or have)
                if have == total:
                    return
                # What is there, be it little: then little is lost where the connection ends.
                block = answer.read1(_BLOCK if total is None else min(_BLOCK, total - have))
                if not block:
                    break
        if total is not None:
            raise OSError(f"the connection ended after {have} of {total} bytes")

    def _check_start(self, head: bytes, total: int | None) -> None:
        if not head and total:
            return  # the connection has ended, which is told later
        suffix = self.target.suffix.lower()
        found = disguise_of(self.target, head)
        if web_page(head):
            wrong = "is a web page, as servers send that want a login or have no such file"
        elif not head:
            wrong = "is empty"
        elif found is not None:
            wrong = found.found
        elif not self.trusted and not head.startswith(_STARTS.get(suffix, b"")):
            wrong = f"begins with {head[:8]!r}, which is no {suffix} file"
        else:
            return
        raise RefusedError(f"what it sends {wrong}")

    def _noted(self) -> dict[str, Any]:
        # Notes that are missing or damaged say nothing.
        with contextlib.suppress(OSError, ValueError):
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if isinstance(notes, dict):
                return notes
        return {}


def _mark(headers: Any) -> str | None:
    """Return by what the server knows this version of the file; weak marks do not tell bytes."""
    tag = headers.get("ETag")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return headers.get("Last-Modified") or None


def _total(headers: Any) -> int | None:
    """Return the length of the whole, as the answer to a question for a part states it."""
    match = re.search(r"/(\d+)\s*$", headers.get("Content-Range", ""))
    return int(match[1]) if match else None
