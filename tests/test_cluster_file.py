"""`cluster.yaml` against the schema that Ray itself checks it with."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import jsonschema
import yaml

_ROOT = Path(__file__).parents[1]


def test_cluster_file_is_valid() -> None:
    ray = importlib.util.find_spec("ray")
    assert ray is not None and ray.origin is not None
    schema = json.loads((Path(ray.origin).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load((_ROOT / "cluster.yaml").read_text()), schema)


def test_submitted_script_imports_the_command_line_alone() -> None:
    text = (_ROOT / "runner" / "submit.py").read_text()
    imports = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["from runner.cli import app"]
