"""Places of results as text: joined to what lies in them, and shown without what must stay secret.

A place is a local path or a URI, which may carry a query and credentials:
`s3://KEY:SECRET@bucket/results?endpoint_override=127.0.0.1:9000&scheme=http`.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from urllib.parse import unquote

# Parts of the names of a query's parameters that hold what opens a store.
_SECRET = re.compile(r"key|secret|token|passw|pwd|credential|sas|sig(nature)?$|auth", re.IGNORECASE)
_HIDDEN = "***"
# Between the places of several ledgers that are read as one, where people read them.
TOGETHER = " + "
# In the URIs of these, what stands before the @ alone is the name of a container.
_CONTAINERS = ("abfs", "abfss", "wasb", "wasbs")


def joined(uri: str, *parts: str) -> str:
    """Return the place of something in a folder; the query of a URI stays at its end.

    Args:
        uri: A local path or a URI.
        parts: Names or paths with slashes, relative to it.
    """
    folder, mark, query = uri.partition("?") if "://" in uri else (uri, "", "")
    path = "/".join([folder.rstrip("/"), *(part.strip("/") for part in parts)])
    return path + mark + query


def split(uri: str) -> tuple[str, str]:
    """Return the folder of a file and the file's name; the query of a URI stays with the folder."""
    if "://" not in uri:
        local = Path(uri)
        return str(local.parent), local.name
    path, mark, query = uri.partition("?")
    return posixpath.dirname(path) + mark + query, posixpath.basename(path)


def shown(uri: str) -> str:
    """Return a place for people: without user, password and the parameters that hold secrets."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return uri
    _, body, parameters = _parts(scheme, rest)
    kept = [text for text in parameters if not _is_secret(text)]
    query = "?" + "&".join(kept) if kept else ""
    return f"{scheme}://{body}{query}"


def without_secrets(text: str, uri: str) -> str:
    """Return a text, such as a library's error, with a URI's secrets struck out."""
    text = text.replace(uri, shown(uri))
    for secret in _secrets(uri):
        text = text.replace(secret, _HIDDEN)
    return text


def _secrets(uri: str) -> list[str]:
    """Return all that must not be shown, as written and decoded, the longest first."""
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return []
    credentials, _, parameters = _parts(scheme, rest)
    found = [credentials, *credentials.split(":", 1)]
    found += [text.partition("=")[2] for text in parameters if _is_secret(text)]
    found += [unquote(text) for text in found]
    # A letter or two would strike out half of any text, and opens nothing.
    return sorted({text for text in found if len(text) > 2}, key=len, reverse=True)


def _parts(scheme: str, rest: str) -> tuple[str, str, list[str]]:
    """Return credentials, host with path, and the parameters of the query."""
    body, _, query = rest.partition("?")
    parameters = [text for text in query.split("&") if text]
    host = body.partition("/")[0]
    if "@" in host:
        credentials, _, behind = host.rpartition("@")
        if ":" not in credentials and scheme in _CONTAINERS:
            return "", body, parameters
        return credentials, behind + body[len(host) :], parameters
    # A secret with a slash in it, which should have been written %2F.
    port = host.partition(":")[2]
    if port and not port.isdigit() and "@" in rest:
        credentials, _, behind = rest.rpartition("@")
        body, _, query = behind.partition("?")
        return credentials, body, [text for text in query.split("&") if text]
    return "", body, parameters


def _is_secret(parameter: str) -> bool:
    return bool(_SECRET.search(unquote(parameter.partition("=")[0])))
