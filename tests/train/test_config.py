"""A configuration is read whole, and every fault of it is named at once."""

import tomllib

import pytest

from dep.engine.model_file import read_card
from dep.train.card import make_card
from dep.train.config import ConfigError, config_values, load_config, parse_config


def test_a_good_file_is_read(run_files):
    config = load_config(run_files.config)
    assert config.outputs == 4
    assert config.data.train[0].tomogram == run_files.folder / "tomo.mrc"
    assert parse_config(config_values(config), "copy") == config


def test_all_faults_at_once(run_files):
    text = run_files.config.read_text()
    text = text.replace("diameter = 5", "diameter = 6")
    text = text.replace("steps = 6", "steps = 0\nspeed = 3")
    text = text.replace('contrast = "dark"', 'contrast = "grey"')
    run_files.config.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(run_files.config)
    message = str(error.value)
    for part in (str(run_files.config), "labels", "odd", "6", "training.steps"):
        assert part in message
    for part in ("training.speed", "contrast", "dark"):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("patch = 16", "patch = 18", "training.patch must be a multiple of 4"),
        ("tile = 24", "tile = 22", "picking.tile must be a multiple of 4"),
        ("margin = 4", "margin = 12", "leaves nothing"),
        ('name = "b"', 'name = "a"', "named twice: a"),
        ("coordinates = false", "coordinates = true", "must equal training.patch"),
        ("diameter = 5", "diameter = 7", r"wider than the particles of class a \(6"),
        ("t_dist = 4", "t_dist = inf", "picking.t_dist"),
        ('name = "tiny"', 'name = "ti\\nny"', "name"),
        ("seed = 3", "seed = 3\nbetas = [1.5, -3]", "training.betas.0"),
        ("learning_rate = 1e-2", "learning_rate = inf", "training.learning_rate"),
        ("t_dist = 4", "t_dist = 4\niterations = [1, 2]", "iterations"),
        ("held.mrc", "./tomo.mrc", "both trained on and validated on"),
    ],
)
def test_parts_that_do_not_fit_each_other(run_files, old, new, says):
    run_files.config.write_text(run_files.config.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=says):
        load_config(run_files.config)


def test_missing_files_are_listed(run_files):
    (run_files.folder / "tomo.mrc").unlink()
    (run_files.folder / "tomo.csv").unlink()
    with pytest.raises(ConfigError, match=r"(?s)tomo\.mrc.*tomo\.csv"):
        load_config(run_files.config)


def test_not_toml_and_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"bad\.toml: not a TOML file"):
        load_config(tmp_path / "bad.toml")


def test_the_documents_example_and_the_recipe_validate(root):
    text = (root / "docs/training.md").read_text()
    example = text.split("```toml\n")[1].split("```")[0]
    assert parse_config(tomllib.loads(example), "docs").outputs == 3
    recipe = (root / "train/recipes/simulated12.toml").read_text()
    config = parse_config(tomllib.loads(recipe), "recipe")
    assert [entry.name for entry in config.classes if not entry.report] == ["fiducial"]


def test_the_recipe_describes_the_bundled_model(root):
    recipe = (root / "train/recipes/simulated12.toml").read_text()
    wanted = make_card(parse_config(tomllib.loads(recipe), "recipe")).to_dict()
    bundled = read_card(root / "engine/data/default.onnx").to_dict()
    for card in (wanted, bundled):
        card.pop("weights_digest")
    assert bundled == wanted
