"""Modules of the user's that register tasks, methods, metrics, sources or backbone families.

A plug-in is an ordinary module. It is read as text once, where the grid is planned, and run from
that text in every process, so that a worker on a machine without the file runs the same code, and
the cells that use it carry its hash in their id.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from benchmarks import catalog
from xmft.cache import cache_root, whole
from xmft.errors import FileError, RequestError
from xmft.registry import forget, owned, registering
from xmft.text_files import read_text

_RESERVED = sys.stdlib_module_names | {"xmft", "benchmarks", "runner"}
# The modules that fill the registries with what comes with the package.
_REGISTERS = ("xmft.methods", "xmft.metrics", "xmft.source", "xmft.backbones")


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """A module as text.

    Attributes:
        name: What is imported, such as `mylab.tasks`.
        files: Path relative to the folder that holds it, to text: one file, or all of a package.
    """

    name: str
    files: Mapping[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 of names and texts."""
        text = json.dumps(sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()


# What this process runs, by name.
_installed: dict[str, Plugin] = {}


def read_plugins(names: Iterable[str], folder: Path | None = None) -> tuple[Plugin, ...]:
    """Read plug-ins, none of which is run yet.

    Args:
        names: Importable modules (`mylab.tasks`), or paths that end in `.py`.
        folder: What relative paths are relative to; None: the working directory.

    Raises:
        RequestError: there is no such module or file, or two files have one name.
    """
    plugins: dict[str, Plugin] = {}
    for name in dict.fromkeys(names):
        plugin = _read(name, folder or Path.cwd())
        if plugins.setdefault(plugin.name, plugin) != plugin:
            raise RequestError(
                f"Two plug-ins are called '{plugin.name}', the second is {name}. Rename one of "
                "the files."
            )
    return tuple(plugins.values())


def install(plugins: Sequence[Plugin]) -> None:
    """Import plug-ins from their text; those that this process runs already are left alone.

    Raises:
        RequestError: one cannot be imported, or registers nothing.
    """
    for plugin in plugins:
        if _installed.get(plugin.name) != plugin:
            _install(plugin)


def installed(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Return plug-ins that this process runs, as they were read: their files may have changed.

    Args:
        names: As for `read_plugins`.
    """
    wanted = {Path(name).stem if name.endswith(".py") else name for name in names}
    return tuple(plugin for name, plugin in _installed.items() if name in wanted)


def plugins_used(
    *,
    task: str,
    method: str,
    metrics: Iterable[str],
    loss: str,
    source: str | None,
    backbone: str | None,
) -> dict[str, str]:
    """Return the installed plug-ins that a cell uses: what for, and the hash of their text.

    Args:
        task: Name of the task, with the variant.
        method: Name of the method, with the variant.
        metrics: Names of the metrics.
        loss: Name of the loss.
        source: Name of the source proxy; None where none is used.
        backbone: Name of the backbone; None where none is used.
    """
    if not _installed:
        return {}
    from xmft.backbones.reading import backbone_size
    from xmft.methods import METHODS
    from xmft.metrics import LOSSES, METRICS
    from xmft.source import PROXIES

    base, kind = task.partition(":")[0], method.partition(":")[0]
    owners: list[tuple[str, str | None]] = [("task", catalog.TASKS.owner(base))]
    owners += [("metric", METRICS.owner(name)) for name in metrics]
    owners += [("loss", LOSSES.owner(loss)), ("method", METHODS.owner(kind))]
    # What a class inherits is its own as well.
    owners += [("method", _owner_of(cls)) for cls in METHODS[kind].__mro__]
    owners += [("task", _owner_of(cls)) for cls in type(catalog.TASKS[base]).__mro__]
    if source is not None:
        owners.append(("source", PROXIES.owner(source)))
    if backbone is not None:
        owners += [
            ("backbone", _owner_of(cls)) for cls in type(backbone_size(backbone).family).__mro__
        ]
    # By package, whose text is shipped whole: which of its modules was named makes no difference.
    used = {
        f"{role}:{_package(owner)}": _installed[owner].digest
        for role, owner in owners
        if owner in _installed
    }
    return dict(sorted(used.items()))


def _owner_of(cls: type) -> str | None:
    return next((name for name in _installed if _belongs(cls.__module__, name)), None)


def _belongs(module: str, plugin: str) -> bool:
    """Whether a module is part of what was shipped with a plug-in."""
    return _package(module) == _package(plugin)


def _package(name: str) -> str:
    return name.partition(".")[0]


def _read(name: str, folder: Path) -> Plugin:
    if name.endswith(".py"):
        path = (folder / Path(name).expanduser()).absolute()
        if path.stem in _RESERVED or not path.stem.isidentifier() or _is_loaded(path):
            raise RequestError(
                f"The plug-in {path} is called like another module, of Python or of this project "
                "perhaps, or not like a module at all. Rename the file."
            )
        return Plugin(name=path.stem, files={path.name: _text(path, name)})
    top = _package(name)
    if top in _RESERVED:
        raise RequestError(f"The plug-in '{name}' is no module of your own.")
    if str(folder) not in sys.path:  # a console script does not look in the working directory
        sys.path.append(str(folder))
    importlib.invalidate_caches()
    try:
        spec = _spec(top)
    except (ImportError, ValueError):
        spec = None
    locations = (spec and spec.submodule_search_locations) or ()
    # Python's order where a package without `__init__.py` is in several folders: the first wins.
    files = {
        path.relative_to(root.parent).as_posix(): _text(path, name)
        for root in map(Path, reversed(list(locations)))
        for path in sorted(root.rglob("*.py"))
    }
    if spec is None or (spec.origin is None and not files):
        raise RequestError(
            f"There is no plug-in module '{name}' that Python finds from {folder}. Install it, or "
            "name its file: --plugin path/to/file.py."
        )
    if not locations:
        origin = Path(str(spec.origin))
        return Plugin(name=name, files={origin.name: _text(origin, name)})
    # With it the shipped text is the whole package, and nothing is added from other folders.
    files.setdefault(f"{top}/__init__.py", "")
    return Plugin(name=name, files=files)


def _is_loaded(path: Path) -> bool:
    """Whether a module of another file has the name of this one; it would be lost."""
    module = sys.modules.get(path.stem)
    shipped = cache_root() / "plugins"
    file = Path(getattr(module, "__file__", None) or "")
    known = path.stem in _installed or file == path or file.is_relative_to(shipped)
    return module is not None and not known


def _text(path: Path, name: str) -> str:
    try:
        return read_text(path)
    except FileError as error:
        raise RequestError(f"The plug-in '{name}' cannot be read: {error}") from None
    except OSError as error:
        raise RequestError(
            f"The plug-in '{name}' cannot be read from {path} ({type(error).__name__}). Name a "
            "file of Python, or an importable module."
        ) from None


def _install(plugin: Plugin) -> None:
    folder = cache_root() / "plugins" / plugin.digest[:16]
    for path, text in plugin.files.items():
        target = folder / path
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            with whole(target) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="")
    # Another plug-in of the same package may have imported modules from here: these stay.
    stale = {name for name in _modules(plugin.name) if not _is_from(name, folder)}
    for name in stale:
        del sys.modules[name]
    for name in {plugin.name, *(stale & _installed.keys())}:
        forget(name)
        _installed.pop(name, None)
    loaded = _modules(plugin.name)
    # What a plug-in imports first would be taken for its own.
    for own in _REGISTERS:
        importlib.import_module(own)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        with registering(plugin.name):
            importlib.import_module(plugin.name)
    except Exception as error:
        forget(plugin.name)
        # What came with it has registered as well; left here, it would not do so again.
        for name in _modules(plugin.name) - loaded:
            del sys.modules[name]
        raise RequestError(
            f"The plug-in '{plugin.name}' cannot be imported: {type(error).__name__}: {error}"
            f"{_place(error, folder)}. Mend it and run the same command again."
        ) from error
    finally:
        sys.path.remove(str(folder))
    # What one module of a package imports of another is registered by whichever comes first.
    if not any(map(owned, _modules(plugin.name))):
        raise RequestError(
            f"The plug-in '{plugin.name}' registers nothing. It registers a task with "
            "benchmarks.add_task, a method with @xmft.register, a metric with xmft.METRICS.add."
        )
    _installed[plugin.name] = plugin


def _spec(top: str) -> ModuleSpec | None:
    """Look for a package or module that is in none; finding `mylab.tasks` would run `mylab`.

    Not `importlib.util.find_spec`: once a plug-in is loaded, that finds the text that was shipped
    and not what the user has made of it since.
    """
    finders = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return next((spec for find in finders if (spec := find(top, None)) is not None), None)


def _modules(plugin: str) -> set[str]:
    """Return the loaded modules of what is shipped with a plug-in."""
    return {name for name in sys.modules if _belongs(name, plugin)}


def _is_from(module: str, folder: Path) -> bool:
    file = getattr(sys.modules[module], "__file__", None) or ""
    return Path(file).is_relative_to(folder)


def _place(error: BaseException, folder: Path) -> str:
    """Say where in the plug-in an error was raised."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    frames: list[Any] = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    if not own:
        return ""
    return f" ({Path(own[-1].filename).relative_to(folder)}, line {own[-1].lineno})"
