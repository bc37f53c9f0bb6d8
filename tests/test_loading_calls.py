"""No call of the packages that reads a file runs what lies in it, or asks whether it may."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNSAFE = {"eval", "exec", "compile", "execfile", "__import__"}
# Modules whose loading functions run what they read.
PICKLES = ("pickle.", "cPickle.", "cloudpickle.", "dill.", "joblib.", "marshal.", "shelve.")
NEVER = {
    *(
        "yaml.unsafe_load",
        "yaml.full_load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.export.load",
    ),
    *("pd.read_pickle", "pandas.read_pickle", "shelve.open", "os.system", "os.popen"),
    *("runpy.run_path", "runpy.run_module", "shutil.unpack_archive", "keras.models.load_model"),
    *("pa.deserialize", "pyarrow.deserialize", "pa.register_extension_type"),
}
# The text of plug-ins, which the driver of a run sends to its own processes: read from no file.
OWN = {("runner/slot.py", "pickle.loads(plugins)")}
LOADERS = {"SafeLoader", "CSafeLoader", "_LOADER"}


def violations(tree: ast.AST) -> list[str]:
    """Calls that could run what lies in a file, or ask whether they may."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        last = name.rpartition(".")[2]
        bad = (
            (
                last in ("from_pretrained", "from_config")
                and options.get("trust_remote_code") != "False"
            )
            or (name == "torch.load" and options.get("weights_only") != "True")
            or (last == "from_pretrained" and options.get("weights_only", "True") != "True")
            or (last in ("load", "loads") and name.startswith(PICKLES))
            or (name == "pickle.Unpickler")
            or (
                name in ("np.load", "numpy.load")
                and options.get("allow_pickle", "False") != "False"
            )
            or (name == "yaml.load" and options.get("Loader") not in LOADERS)
            or (name == "yaml.load_all" and options.get("Loader") not in LOADERS)
            or (name in NEVER)
            or (options.get("shell", "False") != "False")
            # Writing one runs nothing.
            or (last != "save" and options.get("allow_pickle", "False") != "False")
            or (options.get("trust_remote_code", "False") != "False")
            or (last in ("extractall", "extract") and options.get("filter") != "'data'")
            or (name in UNSAFE or name == "input")
        )
        if bad:
            found.append(f"{ast.unparse(node)} (line {node.lineno})")
    return found


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=str(path.relative_to(ROOT)))
        for folder in ("xmft", "benchmarks", "runner")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ],
)
def test_every_call_that_loads_says_that_nothing_is_run(path: Path) -> None:
    found = violations(ast.parse(path.read_text(encoding="utf-8")))
    place = path.relative_to(ROOT).as_posix()
    assert [call for call in found if (place, call.partition(" (")[0]) not in OWN] == []


@pytest.mark.parametrize(
    "line",
    [
        "AutoConfig.from_pretrained(folder, local_files_only=True)",
        "AutoModel.from_pretrained(folder, trust_remote_code=False, weights_only=False)",
        "AutoModel.from_config(config)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "pickle.load(stream)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "archive.extractall(folder)",
        "input('Run it?')",
        "cloudpickle.loads(payload)",
        "joblib.load(path)",
        "numpy.load(path, allow_pickle=True)",
        "np.lib.npyio.NpzFile(stream, allow_pickle=True)",
        "yaml.load_all(text, Loader=yaml.FullLoader)",
        "torch.jit.load(path)",
        "pandas.read_pickle(path)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "shutil.unpack_archive(path)",
        "zipfile.ZipFile(path).extractall(folder)",
        "tarfile.open(path).extractall(folder, filter='fully_trusted')",
        "runpy.run_path(path)",
        "pa.register_extension_type(kind)",
        "datasets.load_dataset(name, trust_remote_code=True)",
        "__import__(name)",
    ],
)
def test_calls_that_do_not_are_found(line: str) -> None:
    assert len(violations(ast.parse(line))) == 1
