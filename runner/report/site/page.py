"""The page as HTML: one file that needs no network, and obeys nothing that the ledger says."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runner.report.site.json_text import script_json
from runner.visible import visible

# In the order in which they need one another.
_SCRIPTS = (
    "vendor/table-core.js",
    "assets/elements.js",
    "assets/tables.js",
    "assets/chart.js",
    "assets/details.js",
    "assets/page.js",
)
_STYLE = "assets/page.css"


def page_html(content: Mapping[str, Any], rows: Mapping[str, Any]) -> bytes:
    """Return the page, with a hash of all that it shows in it, by which it knows of a newer one.

    Args:
        content: What the template shows.
        rows: The table of all cells, as `as_columns` returns it.
    """
    scripts = [_asset(name) for name in _SCRIPTS]
    style = _asset(_STYLE)
    given = {
        **content,
        "scripts": [Markup(text) for text in scripts],
        "style": Markup(style),
        "rows": Markup(script_json(rows)),
        "policy": _policy(scripts, style),
    }
    template = _environment().get_template("page.html")
    version = hashlib.sha256(_bytes(template.render(given, version=""))).hexdigest()[:16]
    return _bytes(template.render(given, version=version))


def version_of(html: bytes) -> str:
    """Return the hash that stands in a page."""
    _, _, rest = html.partition(b'<meta name="xmft-version" content="')
    return rest[:16].decode("ascii")


def _policy(scripts: list[str], style: str) -> str:
    """Return a Content-Security-Policy: our scripts and what these load, by their hashes.

    So it holds where a page has no server, and whatever slipped through into it does not run.
    """
    hashes = " ".join(_hash(text) for text in scripts)
    return (
        f"default-src 'none'; script-src {hashes} 'strict-dynamic'; style-src {_hash(style)}; "
        "img-src 'self' file: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")  # half a pair of surrogates


@functools.cache
def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("runner.report.site", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: object) -> object:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
