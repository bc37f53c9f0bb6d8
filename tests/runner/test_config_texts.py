import json

import pytest

from runner.config_texts import ConfigParser
from tests.runner.attempts import cell_of

OWN = cell_of(seed=7, method_config={"seed": 3, "x": {"seed": 4}}).config_json


@pytest.mark.parametrize(
    "text",
    [
        OWN,
        cell_of(seed=0).config_json,
        cell_of(seed=12345678901).config_json,
        # The last `,"seed":` is not that of the cell.
        '{"seed":5,"weights":{"a":1,"seed":7,"b":2}}',
        '{"a":1,"seed":5,"weights":"x,\\"seed\\":1,"}',
        '{"a":1,"seed":5}',
        '{"a":1,"seed":null,"b":2}',
        '{"a":1,"seed":-5,"b":2}',
        '{"a":1,"seed":1.5,"b":2}',
        '{"a": 1, "seed": 5, "b": 2}',
        "{}",
    ],
)
def test_what_it_returns_is_what_json_says(text):
    parse = ConfigParser()
    parse(OWN)
    for _ in range(2):
        config, _ = parse(text)
        assert config == json.loads(text)
        assert list(config) == list(json.loads(text))


def test_cells_that_differ_in_the_seed_share_their_parts():
    parse = ConfigParser()
    first, memory = parse(cell_of(seed=0).config_json)
    second, same = parse(cell_of(seed=1).config_json)
    other, different = parse(cell_of(seed=1, recipe={"epochs": 3}).config_json)
    assert (first["seed"], second["seed"], other["seed"]) == (0, 1, 1)
    assert first["recipe"] is second["recipe"]
    assert memory is same
    assert other["recipe"] == {"epochs": 3}
    assert different is not memory
