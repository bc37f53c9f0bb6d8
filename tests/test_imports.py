"""The packages import one another in one direction and in no circle; their files stay short."""

import ast
import functools
import graphlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("xmft", "benchmarks", "runner")


@functools.cache
def parsed(text):
    return ast.parse(text)


def at_once(tree):
    """The nodes of a module that run when it is imported: no functions, nothing for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from at_once(node)


def imports(path, walk=ast.walk):
    """All modules that a file imports, inside functions too, `from a import b` as `a.b`."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in walk(parsed(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(relative, package) if node.level else relative
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", ""))
            in ("import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def within(module, packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def files(*folders):
    return [
        pytest.param(path, id=str(path.relative_to(ROOT)))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]


@pytest.mark.parametrize("path", files("xmft"))
def test_xmft_knows_neither_ray_nor_arrow_nor_the_packages_above_it(path):
    forbidden = ("ray", "pyarrow", "benchmarks", "runner")
    assert [name for name in imports(path) if within(name, forbidden)] == []


@pytest.mark.parametrize("path", files("benchmarks"))
def test_benchmarks_know_only_the_types_of_xmft(path):
    names = list(imports(path))
    # Solvers run on a GPU where there is one; what lists and reads data must start at once.
    solves = "solvers" in path.parts or path.stem in ("generate", "batches")
    forbidden = ("ray", "runner") if solves else ("torch", "ray", "runner")
    assert [name for name in names if within(name, forbidden)] == []
    files_and_machine = (
        "xmft.cache",
        "xmft.cifar_pickles",
        "xmft.cores",
        "xmft.labels",
        "xmft.missing",
        "xmft.pickles",
        "xmft.text_files",
        "xmft.unreadable",
    )
    allowed = (*files_and_machine, "xmft.errors", "xmft.registry", "xmft.task", "xmft.decoding")
    assert [name for name in names if within(name, ["xmft"]) and not within(name, allowed)] == []
    # Torch takes its time to start: what decodes on the device is imported where it is asked for.
    assert [name for name in imports(path, at_once) if within(name, ["xmft.decoding"])] == []


LEDGER = ("schema", "storage", "ledger", "ledgers", "attempts", "compaction", "conflicts", "leases")
LIGHT = [pytest.param(ROOT / f"runner/{name}.py", id=name) for name in LEDGER]
LIGHT += files("runner/report")


@pytest.mark.parametrize("path", LIGHT)
def test_ledger_and_report_need_no_torch_and_no_ray(path):
    heavy = ("torch", "ray", "transformers")
    assert [name for name in imports(path) if within(name, heavy)] == []


def test_ledger_and_report_load_no_torch_and_no_ray():
    code = (
        "import sys, runner.compaction, runner.leases, runner.cli.study\n"
        "import runner.report.plots.collect\n"
        "import runner.ledgers, runner.submissions.making, runner.submissions.checks\n"
        "from runner.config import load_grid; load_grid('quick')\n"
        "sys.exit(', '.join({'torch', 'ray', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("path", files(*PACKAGES))
def test_nothing_knows_the_performance_programs_and_the_documentation(path):
    assert [name for name in imports(path) if within(name, ["performance", "docs_site"])] == []


@pytest.mark.parametrize("path", files("performance"))
def test_performance_programs_use_what_is_public(path):
    names = [name for name in imports(path) if within(name, PACKAGES)]
    assert [name for name in names if any(part.startswith("_") for part in name.split("."))] == []


def arrows():
    """What each module of the packages imports as it is imported itself, as modules."""
    paths = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found = {}
    for module, path in paths.items():
        # `a.b` is the module of that name, or else something of `a`.
        named = (
            next((m for m in (name, name.rpartition(".")[0]) if m in paths), None)
            for name in imports(path, at_once)
        )
        found[module] = {name for name in named if name is not None} - {module}
    return found


def room(module):
    """The subpackage that a module is in, or the module if it is in none."""
    return ".".join(module.split(".")[:2])


def circle(graph):
    """The nodes of a circle in a graph, none if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_modules_import_one_another_in_a_circle():
    assert circle(arrows()) == []


def test_no_rooms_import_one_another_in_a_circle():
    rooms = {}
    for module, targets in arrows().items():
        # A package's front passes on what is in its rooms.
        others = {room(target) for target in targets if target not in PACKAGES}
        rooms.setdefault(room(module), set()).update(others - {room(module)})
    assert circle(rooms) == []


def test_circles_are_found_at_module_level_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    folder = tmp_path / "xmft" / "methods"
    folder.mkdir(parents=True)
    (folder / "orca.py").write_text("class A:\n    from ..model import Model\n")
    model = tmp_path / "xmft" / "model.py"
    model.write_text("def late():\n    from xmft.methods import orca\n")
    assert arrows() == {"xmft.methods.orca": {"xmft.model"}, "xmft.model": set()}
    assert circle(arrows()) == []
    model.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from xmft.methods import orca\n"
    )
    assert circle(arrows()) == []
    model.write_text(
        "try:\n    from xmft.methods.orca import Orca\nexcept ImportError:\n    pass\n"
    )
    assert set(circle(arrows())) == {"xmft.methods.orca", "xmft.model"}


def test_the_front_of_xmft_loads_nothing_heavy():
    code = (
        "import sys, xmft\n"
        "sys.exit(', '.join({'torch', 'transformers', 'pydantic'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("path", files(*PACKAGES, "performance", "docs_site", "tests"))
def test_no_file_is_longer_than_one_reads(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_walk_sees_every_form_of_import(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "xmft" / "methods" / "orca.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import ray.tune as tune\nfrom . import nft\nfrom ..model import Model\n"
        "def late():\n    from runner import cell\n    import importlib\n"
        "    importlib.import_module('pyarrow.fs')\n"
    )
    assert set(imports(path)) == {
        "ray.tune",
        "xmft.methods.nft",
        "xmft.model.Model",
        "runner.cell",
        "importlib",
        "pyarrow.fs",
    }
    assert within("ray.tune", ["ray"])
    assert not within("rays", ["ray"])
