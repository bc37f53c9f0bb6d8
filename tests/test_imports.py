"""The packages import one another in one direction only."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imports(path):
    """All modules that a file imports, inside functions too, `from a import b` as `a.b`."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
        if not within(".".join(path.relative_to(ROOT).parts), ["performance"])
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
    allowed = ("xmft.cache", "xmft.errors", "xmft.pickles", "xmft.registry", "xmft.task")
    assert [name for name in names if within(name, ["xmft"]) and not within(name, allowed)] == []


LIGHT = [pytest.param(ROOT / f"runner/{name}.py", id=name) for name in ("schema", "storage")]
LIGHT += [pytest.param(ROOT / "runner/ledger.py", id="ledger"), *files("runner/report")]


@pytest.mark.parametrize("path", LIGHT)
def test_ledger_and_report_need_no_torch_and_no_ray(path):
    heavy = ("torch", "ray", "transformers")
    assert [name for name in imports(path) if within(name, heavy)] == []


def test_ledger_and_report_load_no_torch_and_no_ray():
    code = (
        "import sys, runner.ledger, runner.report.drawing, runner.report.study.__main__\n"
        "sys.exit(', '.join({'torch', 'ray', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


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
