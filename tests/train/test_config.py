"""A configuration is read whole, and every fault of it is named at once."""

import ast
import contextlib
import re
import tomllib
from typing import get_args

import pytest
from pydantic import BaseModel

from dep.train.card import make_card
from dep.train.config import (
    ConfigError,
    TrainConfig,
    config_values,
    load_config,
    parse_config,
)


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


NO_LOSS = "[loss]\ndice = 0\ncross_entropy = 0\nclass_term = 0\nforeground = 0\n"


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
        ("[network]", NO_LOSS + "\n[network]", "loss: dice, .*foreground are all 0"),
    ],
)
def test_parts_that_do_not_fit_each_other(run_files, old, new, says):
    run_files.config.write_text(run_files.config.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=says):
        load_config(run_files.config)


def test_a_label_may_be_just_as_wide_as_its_particle(run_files):
    """75.6 Å are 7 voxels of 10.8 Å, though not to a computer."""
    assert 7 > 75.6 / 10.8
    values = tomllib.loads(run_files.config.read_text())
    values["voxel_size"] = 10.8
    values["classes"] = [{"name": "a", "diameter": 75.6}]
    values["labels"] = {"diameter": 7}
    del values["picking"]["t_dist"]
    assert parse_config(values, "test").t_dist == 4


def test_of_one_class_two_terms_of_the_loss_count(run_files):
    values = tomllib.loads(run_files.config.read_text())
    values["classes"] = values["classes"][:1]
    values["loss"] = {"dice": 0, "cross_entropy": 0, "foreground": 1}
    with pytest.raises(ConfigError, match="loss: dice, cross_entropy are all 0"):
        parse_config(values, "test")
    values["loss"]["dice"] = 0.5
    parse_config(values, "test")


def configured(run_files, *changes):
    return load_config(run_files.rewrite(*changes))


def test_each_class_may_have_labels_of_its_own(run_files):
    wide = ("diameter = 90 }", "diameter = 90, label_diameter = 9 }")
    config = configured(run_files, wide)
    assert config.label_diameters == (5, 5, 9)
    card = make_card(config)
    assert (card.label_diameter, card.iterations) == (5, 2)
    config = configured(run_files, ("t_dist = 4", 't_dist = 4\nassembly = "per_class"'))
    assert make_card(config).iterations == (2, 4)  # the bead is not reported
    with pytest.raises(ConfigError, match=r"label_diameter 11 is wider.*class b \(9"):
        configured(run_files, ("label_diameter = 9", "label_diameter = 11"))
    with pytest.raises(ConfigError, match=r"classes\.2\.label_diameter.*odd.*8"):
        configured(run_files, ("label_diameter = 11", "label_diameter = 8"))


def test_the_distance_of_picks_is_the_published_tools(run_files):
    """Half the smallest reported particle, rounded down, plus 1: of 6 voxels, 4."""
    config = configured(run_files, ("t_dist = 4\n", ""))
    assert config.t_dist == make_card(config).t_dist == 4
    config = configured(run_files, ("diameter = 60", "diameter = 99"))
    assert config.t_dist == 9 // 2 + 1


def test_a_diameter_to_be_filled_in_is_asked_for(run_files):
    with pytest.raises(ConfigError, match=r"classes\.0\.diameter.*in Å.*fill it in"):
        configured(run_files, ("diameter = 60", 'diameter = "?"'))


def test_what_older_checkpoints_hold_is_read(run_files):
    """A configuration kept before there were these keys means what it meant."""
    config = load_config(run_files.config)
    values = config_values(config)
    for section, keys in {
        "data": ("test", "split", "binning"),
        "network": ("residual", "convolutions", "head"),
        "loss": ("unannotated", "trimmed"),
        "augmentation": ("gamma", "blur", "jitter"),
        "training": ("devices", "nodes", "keep_best", "patience"),
    }.items():
        for key in keys:
            del values[section][key]
    for entry in values["classes"]:
        del entry["label_diameter"]
    for source in (*values["data"]["train"], *values["data"]["validate"]):
        for key in ("class", "binning", "fully_annotated"):
            del source[key]
    assert parse_config(values, "old") == config
    # Nothing trains from these values any more, so that its default does no harm.
    del values["data"]["fully_annotated"]
    assert not parse_config(values, "old").data.fully_annotated


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


def keys(model):
    """Name every key of a section, and those of the sections in it."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        inner = [
            kind
            for kind in (field.annotation, *get_args(field.annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ]
        if not inner or key in ("train", "validate", "test"):
            yield key
        if inner and key not in ("validate", "test"):  # lists like `train`
            yield from (f"{key}.{one}" for one in keys(inner[0]))


def test_the_documents_name_every_key_and_its_default(root):
    text = (root / "docs/training.md").read_text()
    table = text.split("### All keys\n")[1].split("\n## ")[0]
    rows = [re.split(r" *(?<!\\)\| *", line) for line in table.splitlines()[3:] if line]
    assert sorted(row[1].strip("`") for row in rows) == sorted(keys(TrainConfig))
    example = text.split("```toml\n")[1].split("```")[0]
    least = tomllib.loads(example)
    least["data"] = {"train": least["data"]["train"], "split": {}}
    least.update(network={}, loss={}, training={"steps": 1}, picking={})
    values = config_values(parse_config(least, "least"))
    checked = 0
    for _, key, default, *_ in rows:
        found = values
        for part in key.strip("`").split("."):
            found = found[0] if isinstance(found, list) else found
            found = found[part]
        said = default.replace("true", "True").replace("false", "False")
        with contextlib.suppress(SyntaxError):  # words, or nothing
            assert found == ast.literal_eval(said), key
            checked += 1
    assert checked > 40
