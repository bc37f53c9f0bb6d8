"""A backbone family is added by one file, and by nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xmft
from xmft.backbones import FAMILIES
from xmft.backbones.family import register
from xmft.backbones.reading import backbone_size
from xmft.backbones.weights import NAMED, weights_fingerprint
from xmft.errors import RequestError
from xmft.recipe import Recipe

# BERT under another name, with a refusal of its own: it reads sequences alone.
FAMILY = """
from transformers import AutoConfig, AutoModel, BertConfig, BertModel

from xmft.backbones import text
from xmft.backbones.family import Family, register
from xmft.backbones.weights import Named
from xmft.errors import RequestError


class PondConfig(BertConfig):
    model_type = "pond"


class PondModel(BertModel):
    config_class = PondConfig


AutoConfig.register("pond", PondConfig)
AutoModel.register(PondConfig, PondModel)


def _tiny():
    return PondConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                      intermediate_size=24, max_position_embeddings=32)


@register
class PondFamily(Family):
    name, modality, title = "pond", "text", "a Pond"
    names = {"tiny-pond": Named(title="Pond, 16 x 2", build=_tiny, version=3)}

    def matches(self, config):
        return config.model_type == "pond"

    def layers(self, config):
        return config.num_hidden_layers

    def positions(self, config):
        return config.max_position_embeddings

    def check(self, size, recipe, *, axes, task):
        if axes == 2:
            raise RequestError(f"'{size.name}' is a Pond; '{task}' has two axes.")
        super().check(size, recipe, axes=axes, task=task)

    def take_apart(self, body, name, fingerprint):
        assert type(body) is PondModel
        return text.take_apart(body, name, fingerprint, lambda texts: [[1, 2] for _ in texts])
"""
USE = """
import hashlib, sys
import numpy as np
import xmft
from xmft.backbones import FAMILIES, load_backbone
from xmft.backbones.reading import backbone_size
from xmft.backbones.weights import NAMED, weights_fingerprint
from xmft.errors import RequestError
from xmft.recipe import Recipe

assert xmft.__file__.startswith(sys.argv[1])
assert NAMED["tiny-pond"].title == "Pond, 16 x 2"

size = backbone_size("tiny-pond")
assert size.family is FAMILIES["pond"]
assert (size.modality, size.layers, size.positions) == ("text", 2, 32)
size.check(Recipe(layers=2, max_tokens=32), axes=1, task="toy")
for recipe, axes in ((Recipe(layers=3), 1), (Recipe(max_tokens=33), 1), (Recipe(), 2)):
    try:
        size.check(recipe, axes=axes, task="toy")
    except RequestError as error:
        print(error)

known = hashlib.sha256(b"tiny-pond:3").hexdigest()
assert weights_fingerprint("tiny-pond") == load_backbone("tiny-pond").fingerprint == known
# A folder, which says what it is in its config.json.
sys.modules["xmft.backbones.pond"].PondModel(
    sys.modules["xmft.backbones.pond"]._tiny()
).save_pretrained(sys.argv[1] + "/saved")
assert backbone_size(sys.argv[1] + "/saved").family.name == "pond"
assert load_backbone(sys.argv[1] + "/saved", layers=1).layers == 1

rng = np.random.default_rng(0)
def split(n):
    labels = np.arange(n) % 2
    waves = np.sin(np.arange(16) * (1 + labels[:, None]))[:, None]
    return (waves + 0.1 * rng.standard_normal((n, 1, 16))).astype(np.float32), labels
data = xmft.TaskData.from_arrays(
    "toy", train=split(32), val=split(8), test=split(8), kind="classification"
)
done = xmft.train(data, "nft", backbone="tiny-pond",
                  recipe=Recipe(epochs=8, batch_size=8, max_tokens=16, learning_rate=3e-3))
curve = [point.value for point in done.result.curves if point.split == "train"]
print("LOSS", curve[0], curve[-1])
"""


def test_a_family_in_one_file_is_found_listed_checked_loaded_and_trained(tmp_path: Path) -> None:
    package = tmp_path / "xmft"
    shutil.copytree(Path(xmft.__file__).parent, package)
    (package / "backbones" / "pond.py").write_text(FAMILY)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "XMFT_CACHE": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    layers, tokens, axes, losses = done.stdout.strip().splitlines()[-4:]
    assert layers == "layers=3 (toy), but backbone 'tiny-pond' has 2 layers."
    assert tokens == "max_tokens=33 (toy), but backbone 'tiny-pond' has 32 positions."
    assert axes == "'tiny-pond' is a Pond; 'toy' has two axes."
    first, last = map(float, losses.split()[1:])
    assert last < 0.8 * first


def test_every_name_is_that_of_a_family() -> None:
    names = [name for family in FAMILIES.values() for name in family.names]
    assert sorted(names) == sorted(NAMED)
    assert {"minilm", "roberta-base", "swin-base", "tiny-sequence", "tiny-swin"} <= set(names)
    for family in FAMILIES.values():
        tiny = [name for name, entry in family.names.items() if entry.build is not None]
        assert [backbone_size(name).family for name in tiny] == [family]


def test_a_name_belongs_to_one_family() -> None:
    with pytest.raises(ValueError, match="family 'swin' is registered twice"):
        register(type(FAMILIES["swin"]))


def test_the_fingerprints_of_what_is_built_stay() -> None:
    # They are in cell ids.
    assert weights_fingerprint("tiny-sequence").startswith("bd3e5b60290791a5")
    assert weights_fingerprint("tiny-swin").startswith("8278f52227cdde49")


@pytest.mark.parametrize(
    ("name", "recipe", "axes", "message"),
    [
        (
            "tiny-sequence",
            Recipe(layers=3),
            1,
            "layers=3{where}, but backbone 'tiny-sequence' has 2 layers.",
        ),
        (
            "tiny-sequence",
            Recipe(max_tokens=129),
            2,
            "max_tokens=129{where}, but backbone 'tiny-sequence' has 128 positions.",
        ),
        (
            "tiny-swin",
            Recipe(layers=1),
            2,
            "layers=1{where}, but backbone 'tiny-swin' is a Swin, whose stages belong together. "
            "Leave layers out (null).",
        ),
        (
            "tiny-swin",
            Recipe(),
            1,
            "Backbone 'tiny-swin' reads images, but the inputs of {task} have one axis. Choose a "
            "text encoder for this task, such as minilm or roberta-base, with --set backbone=NAME "
            "or per_task.",
        ),
    ],
)
def test_what_a_backbone_cannot_do_is_refused_before_its_weights_are_read(
    name: str, recipe: Recipe, axes: int, message: str
) -> None:
    for task, where, which in (("", "", "the task"), ("toy", " (toy)", "task 'toy'")):
        with pytest.raises(RequestError) as caught:
            backbone_size(name).check(recipe, axes=axes, task=task)
        assert str(caught.value) == message.format(where=where, task=which)


def test_what_a_backbone_can_do_is_not_refused() -> None:
    backbone_size("tiny-sequence").check(Recipe(layers=2, max_tokens=128), axes=1)
    # A Swin resizes what it reads, whatever the recipe wants.
    backbone_size("tiny-swin").check(Recipe(max_tokens=10_000), axes=2)
    backbone_size("tiny-swin").check(Recipe())
