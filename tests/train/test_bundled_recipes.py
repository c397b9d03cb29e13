"""The recipes of the bundled models validate, lead on, and describe what is there."""

import re
import tomllib

import pytest

from dep.engine.model_file import read_card
from dep.train.card import make_card
from dep.train.config import parse_config

RECIPES = ("simulated12", "first_source", "two_sources", "fast", "fast_two_sources")


def load(root, name):
    text = (root / f"train/recipes/{name}.toml").read_text()
    return text, parse_config(tomllib.loads(text), name)


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_validate(root, name):
    _, config = load(root, name)
    assert [entry.name for entry in config.classes if not entry.report] == ["fiducial"]
    assert config.data.fully_annotated
    there = {path.stem for path in (root / "train/recipes").glob("*.toml")}
    assert there == set(RECIPES)


@pytest.mark.parametrize("name", ["two_sources", "fast_two_sources"])
def test_what_a_recipe_starts_from_is_made_by_another(root, name):
    text, config = load(root, name)
    (parent,) = re.findall(r"--init runs/(\w+)/model\.ckpt", text)
    made_by = f"#   dep train train/recipes/{parent}.toml -o runs/{parent}\n"
    assert made_by in text
    other = load(root, parent)[1]
    assert other.network == config.network
    assert [entry.name for entry in other.classes] == [
        entry.name for entry in config.classes
    ]


@pytest.mark.parametrize(
    ("file", "name"), [("two_sources", "standard"), ("fast_two_sources", "fast")]
)
def test_the_recipe_describes_the_bundled_model(root, file, name):
    wanted = make_card(load(root, file)[1]).to_dict()
    bundled = read_card(root / f"engine/data/{name}.onnx").to_dict()
    for card in (wanted, bundled):
        card.pop("weights_digest")
    assert bundled == wanted
