r"""What is private in the rows of a ledger, and stays at home when they are handed in.

Machines become `host-1`, `host-2`, whichever of their names a text uses; addresses, people and
their homes get names that say nothing; of places the name of a file is left, of URIs what opens
nothing. Ids recompute all the same: what they are the hash of has no path in it.

Better a word too many than one too few: a text is for people who look for a mistake.
"""

from __future__ import annotations

import getpass
import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.uri import shown, without_secrets

# The columns that are made harmless.
PRIVATE = ("host", "invocation", "error")
# What stays of what a run was told. The data have their fingerprint, and lie elsewhere elsewhere.
_TOLD: Mapping[str, type] = {
    "backbone": str,
    "miniature": bool,
    "plugins": list,
    "sharding": str,
    "threads": int,
    "workers": int,
}
_USER, _PLACE, _ADDRESS = "user", "path", "address"

_URI = r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'`<>|]+"
_PART = r"[^\s\"'`,;:()<>|\\/]"
# Folders of people, whose names may be of several words.
_HOMES = r"(?:[\\/]+export)?[\\/]+(?:home|homes|users)[\\/]+"
_PERSON = (
    rf"(?:[A-Z]{_PART}*(?: [A-Z][\w.'-]*){{1,2}}|{_PART}+(?: [\w.'-]+){{1,2}}(?=[\\/])|{_PART}+)"
)
_HOME = re.compile(rf"(?i:{_HOMES})(?P<person>{_PERSON})")
# Where a path begins: at a root, a drive, a share, somebody's home, above or here. Behind letters
# it is a part of another path, but for those of an option such as -I.
_START = r"(?:[A-Za-z]:[\\/]+|\\\\+|/+|~[\w.-]*[\\/]+|(?:\.\.?[\\/]+)+)"
_PATH = (
    rf"(?:(?P<option>(?<![\w/\\])--?[A-Za-z][\w-]*?)(?=[/~])|(?<![\w.~/\\]))"
    rf"(?P<path>(?:[A-Za-z]:)?(?i:{_HOMES}){_PERSON}(?:[\\/]+{_PART}*)*"
    rf"|{_START}(?:{_PART}+[\\/]+)*{_PART}*)"
)
_PLACES = re.compile(rf"(?P<uri>{_URI})|{_PATH}")
_QUOTED = re.compile(
    rf"(?<=[\"'`])(?:file:)?{_START}[^\"'`\n]*(?=[\"'`])",
)
_ENDING = re.compile(r"\.(?:\w{1,4}|parquet|arrow|jsonl|ipynb|pickle|safetensors)$")
# What every machine has says nothing of anybody.
_SYSTEM = {"bin", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}
_SOMEBODY = re.compile(
    r"(?<![\w@.+-])[\w.+-]+(?::[^\s@/\"']+)?@(?P<host>[A-Za-z][\w-]*(?:\.[\w-]+)*)"
)
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]*:)[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*[0-9A-Fa-f](?![\w:])")
# Names of accounts that are everybody's, and words that would be struck out of all texts.
_NOBODY = {
    *("admin", "all", "data", "default", "guest", "home", "lab", "local", "nobody", "public"),
    *("root", "runner", "scratch", "shared", "software", "user", "users", "work"),
}


def without_private(table: pa.Table) -> pa.Table:
    """Return rows of a ledger without names of machines and people, places and what opens them."""
    hosts = sorted({host for host in pc.unique(table["host"]).to_pylist() if host})
    called = {host: f"host-{number}" for number, host in enumerate(hosts, start=1)}
    told = [_object(text) for text in pc.unique(table["invocation"]).drop_null().to_pylist()]
    errors = pc.unique(table["error"]).drop_null().to_pylist()
    changes: dict[str, Callable[[str], str | None]] = {
        "host": called.__getitem__,
        "invocation": _invocation,
        "error": _harmless(called, [one for one in told if one is not None], errors),
    }
    for name, change in changes.items():
        encoded = table[name].combine_chunks().dictionary_encode()
        texts = [change(text) if text else text for text in encoded.dictionary.to_pylist()]
        column = pa.array(texts, pa.string()).take(encoded.indices)
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), column)
    return table


def _harmless(
    called: Mapping[str, str], told: Iterable[Mapping[str, Any]], texts: Iterable[str]
) -> Callable[[str], str]:
    """Return what makes a running text harmless.

    Args:
        called: What each machine becomes.
        told: What the runs were told.
        texts: All of them: a person whose home one of them names is in no other one either.
    """
    values = [(key, value) for one in told for key, value in _texts(one)]
    uris = sorted({value for _, value in values if "://" in value}, key=len, reverse=True)
    names = {str(Path.home()): _USER}
    names |= {
        value.rstrip("/\\"): "data" if key == "data" else _last(value)
        for key, value in values
        if _is_path(value) and "://" not in value
    }
    # The longest first: a folder may lie in another one that is named as well.
    known = sorted((path for path in names if len(path.strip("/\\~.")) > 1), key=len, reverse=True)
    places = [
        (re.compile(rf"(?<![\w.~/\\-])(?:file:/*(?=/))?{re.escape(path)}(?![\w-])"), names[path])
        for path in known
    ]
    persons = {_account(), Path.home().name}
    persons |= {
        m["person"] for text in (*texts, *(v for _, v in values)) for m in _HOME.finditer(text)
    }
    words = sorted(
        {name for name in persons if len(name) > 2 and name.lower() not in _NOBODY},
        key=len,
        reverse=True,
    )
    people = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, words))})(?![^\W_])")
    machines = _machines(called)

    def in_text(text: str) -> str:
        for uri in uris:
            text = without_secrets(text, uri)
        for pattern, name in places:
            text = pattern.sub(name.replace("\\", r"\\"), text)
        text = _QUOTED.sub(lambda match: _file(match[0]), text)
        text = _PLACES.sub(_place, text)
        text = _HOME.sub(lambda m: m[0][: -len(m["person"])] + _USER, text)
        for pattern, name in machines:
            text = pattern.sub(name, text)
        text = _SOMEBODY.sub(_somebody, text)
        text = _IPV6.sub(_address, _IPV4.sub(_address, text))
        return people.sub(_USER, text) if words else text

    return in_text


def _machines(called: Mapping[str, str]) -> list[tuple[re.Pattern[str], str]]:
    """Return what finds each machine, by its name alone and with any domain."""
    names: dict[str, str] = {}
    for host, name in called.items():
        names.setdefault(host.lower(), name)
    for host, name in called.items():
        if not _is_address(host):
            names.setdefault(host.lower().partition(".")[0], name)
    names.pop("localhost", None)
    return [
        (
            re.compile(rf"(?<![^\W_]){re.escape(host)}(?:\.[a-z][\w-]*)*(?![^\W_])", re.IGNORECASE),
            name,
        )
        for host, name in sorted(names.items(), key=lambda one: len(one[0]), reverse=True)
        if host
    ]


def _place(match: re.Match[str]) -> str:
    if match["uri"] is None:
        return (match["option"] or "") + _file(match["path"])
    end = len(match["uri"].rstrip(").,;:]}"))
    return _uri(match["uri"][:end]) + match["uri"][end:]


def _uri(text: str) -> str:
    """Return a URI without what opens it, and of a local one what `_file` leaves."""
    if text.lower().startswith("file:"):
        return _file(text)
    return shown(text).partition("?")[0].partition("#")[0]


def _somebody(match: re.Match[str]) -> str:
    host = match["host"]
    return f"{_USER}@{host if re.fullmatch(r'host-[0-9]+', host) else 'host'}"


def _address(match: re.Match[str]) -> str:
    if not _is_address(match[0]) or ipaddress.ip_address(match[0]).is_loopback:
        return match[0]
    return match[0] if ipaddress.ip_address(match[0]).is_unspecified else _ADDRESS


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name at all, as in some containers
        return ""


def _object(text: str) -> dict[str, Any] | None:
    """Return a JSON object; None for what is damaged or something else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _texts(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in told.items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str):
                yield key, one


def _invocation(text: str) -> str | None:
    """Return what is known to be harmless of what a run was told; None if nothing can be read."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(one) for one in value if isinstance(one, str)]
        return _last(value) if isinstance(value, str) and _is_path(value) else value

    said = _object(text)
    if said is None:
        return None
    kept = {
        key: plain(said[key])
        for key, kind in _TOLD.items()
        if key in said and (said[key] is None or type(said[key]) is kind)
    }
    return json.dumps(kept, sort_keys=True)


def _is_path(text: str) -> bool:
    """Tell whether a value is a place; what has one slash inside is an id of the hub."""
    slashes = len(re.findall(r"[\\/]+", text))
    return slashes > 1 or re.match(_START, text) is not None or text.startswith(("~", "file:"))


def _last(text: str) -> str:
    """Return the last part of a place that a run was told; of a URI all that opens nothing."""
    if "://" in text and not text.lower().startswith("file:"):
        return _uri(text)
    place = _pure(text)
    if _HOME.fullmatch(text.rstrip("/\\")) or (text.startswith("~") and len(place.parts) < 2):
        return _USER
    return place.name or _PLACE


def _file(text: str) -> str:
    """Return the last part of a place in a text if it is the name of a file, or everybody's."""
    place = _pure(text)
    if _HOME.fullmatch(text.rstrip("/\\")):
        return _USER
    if _ENDING.search(place.name.rstrip(".:")):
        return place.name
    parts = [part for part in place.parts if part.strip("/\\")]
    if not parts or text.strip("/\\") in _SYSTEM or parts == ["~"]:
        return text
    return place.name if parts[0] in _SYSTEM and text.startswith("/") else _PLACE


def _pure(text: str) -> PurePosixPath | PureWindowsPath:
    text = re.sub(r"^file:(?://(?=/))?", "", text, flags=re.IGNORECASE)
    return (PureWindowsPath if "\\" in text else PurePosixPath)(text)
