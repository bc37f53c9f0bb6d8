"""Which loggers a run has, checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from runner.ledger import Ledger
from xmft.errors import RequestError
from xmft.registry import nearest


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A logger that needs packages.

    Attributes:
        packages: Modules that have to be there.
        elsewhere: Variable that says where else it writes than into the folder of results.
        how: What to set it to.
    """

    packages: tuple[str, ...]
    elsewhere: str
    how: str


NONE, TENSORBOARD = "none", "tensorboard"
_KINDS = {
    "mlflow": _Kind(
        packages=("mlflow", "sqlalchemy", "alembic"),
        elsewhere="MLFLOW_TRACKING_URI",
        how="the address of a tracking server",
    ),
    "wandb": _Kind(packages=("wandb",), elsewhere="WANDB_DIR", how="a folder on this machine"),
}
KNOWN = (TENSORBOARD, *_KINDS)


def chosen(names: Sequence[str], ledger: Ledger) -> tuple[str, ...]:
    """Return the loggers that were asked for, each once.

    Args:
        names: Names, or several with commas in between; `none` for no logger at all.
        ledger: Where the results go.

    Raises:
        RequestError: a name is unknown, its packages are not installed, or it cannot write there.
    """
    asked = [part.strip() for name in names for part in name.split(",") if part.strip()]
    if not asked:
        raise RequestError(f"--log takes names of {', '.join(KNOWN)}, or none; found nothing.")
    if NONE in asked:
        if len(set(asked)) > 1:
            raise RequestError(f"--log none stands alone, found {', '.join(asked)}.")
        return ()
    for name in asked:
        if name not in KNOWN:
            raise RequestError(f"There is no logger '{name}'. {nearest(name, (*KNOWN, NONE))}")
        if kind := _KINDS.get(name):
            _check(name, kind, ledger)
    return tuple(dict.fromkeys(asked))


def _check(name: str, kind: _Kind, ledger: Ledger) -> None:
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise RequestError(
            f"--log {name} needs {' and '.join(missing)}, which {_is(missing)} not installed: "
            f"`pip install 'xmft[{name}]'`."
        )
    if not ledger.is_local and not os.environ.get(kind.elsewhere):
        raise RequestError(
            f"--log {name} cannot write to {ledger.shown}: set {kind.elsewhere} to {kind.how}."
        )


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
