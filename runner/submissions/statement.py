"""The statement of a submission: what was signed off, as JSON in the metadata of the file."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, cast

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from runner.columns import VERSION_KEY

SUBMISSION_VERSION = 1
STATEMENT_KEY, SIGNATURE_KEY = b"xmft_submission", b"xmft_submission_sha256"

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Where a ledger keeps what belongs to a cell; no name leads out of it.
_File = Annotated[str, Field(pattern=r"^(cells|curves|examples)(/\w[\w.-]*){1,2}$")]
_Count = Annotated[int, Field(ge=0)]


class Unusable(ValueError):
    """A file is no submission that this version can read; the message is half a sentence."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Counts(_Strict):
    tasks: _Count
    seeds: _Count
    cells: _Count
    ok: _Count


class _Cell(_Strict):
    rows: _Digest
    curves: _Digest | None
    examples: _Digest | None
    files: dict[_File, _Digest]


class _Statement(_Strict):
    version: Annotated[int, Field(ge=1)]
    schema_version: Annotated[int, Field(ge=1)]
    columns: list[str]
    by: str
    note: str
    created_at: Annotated[AwareDatetime, Field(strict=False)]
    xmft: str | None
    versions: dict[str, str]
    git_revision: str | None
    git_dirty: bool | None
    platform: str
    filters: dict[str, list[str | int]]
    rows: _Count
    counts: dict[str, _Counts]
    cells: dict[str, _Cell]
    protocols: list[str]
    selections: list[str]
    data_origins: list[str]


def statement_bytes(statement: dict[str, Any]) -> bytes:
    """Return a statement as canonical JSON."""
    return json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def statement_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the statement of a file.

    Args:
        schema: Of its table, with the metadata of the file.

    Raises:
        Unusable: there is none, it is not as it was written, or of a newer version.
    """
    facts = schema.metadata or {}
    if STATEMENT_KEY not in facts:
        raise Unusable(
            "it is a Parquet file without the statement of a submission; `xmft submit-results` "
            "writes one"
        )
    text = facts[STATEMENT_KEY]
    if hashlib.sha256(text).hexdigest().encode() != facts.get(SIGNATURE_KEY):
        raise Unusable("its statement was changed, or the digest of it is missing")
    try:
        statement = json.loads(text)
        version = statement["version"]
        # That of a newer version may be another one altogether.
        if type(version) is int and version > SUBMISSION_VERSION:
            raise Unusable(
                f"it is of version {version} of submissions, this xmft reads up to "
                f"{SUBMISSION_VERSION}: upgrade xmft"
            )
        _Statement.model_validate(statement)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        found = repr(first["input"])[:80]
        raise Unusable(
            f"its statement cannot be read ('{place}': {first['msg']}, found {found})"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"its statement cannot be read ({type(error).__name__}: {error})") from None
    if {STATEMENT_KEY, SIGNATURE_KEY, VERSION_KEY} != facts.keys():
        raise Unusable("keys were added to its metadata, or one is missing")
    if facts[VERSION_KEY] != str(statement["schema_version"]).encode():
        raise Unusable("its statement cannot be read (the version of the schema is another one)")
    return cast(dict[str, Any], statement)
