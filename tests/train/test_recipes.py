"""Recipes: their commands exist, their configurations pass in the folder they name."""

import csv
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from typer.main import get_command

from dep.cli.main import app
from dep.train.config import ConfigError, load_config

RECIPES = (
    *("shrec2020", "shrec2021"),
    *("empiar-10045", "empiar-10651", "empiar-10499", "empiar-11125"),
)
MOLECULES = (
    *("1S3X", "3QM1", "3GL1", "3H84", "2CG9", "3D2F"),
    *("1U6G", "3CF3", "1BXN", "1QVR", "4CR2"),
)
# Besides; 4V94 is to be left out of 2021.
OTHERS = {2020: ("4D8Q",), 2021: ("4V94", "5MRC", "vesicle", "fiducial")}
SAMPLE = "IS002_291013_0{:02d}_iconmask2_norm_rot_cutZ"
# Of Liu et al. (2024): annotated particles and t_dist; of the published code: t_dist 4.
PAPER = {
    "empiar-10045": (150, 12),
    "empiar-10651": (142, 11),
    "empiar-10499": (117, 12),
    "empiar-11125": (571, 7),
    "shrec2021": (None, 4),
    "shrec2020": (None, 4),
}


@pytest.fixture(params=RECIPES)
def recipe(request, root):
    """The folder of a recipe."""
    return root / "docs" / "recipes" / request.param


def volume(path, shape, voxel_size):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with mrcfile.new(path) as mrc:
        mrc.set_data(rng.normal(0, 20, shape).astype(np.int8))
        mrc.voxel_size = voxel_size
        mrc.set_volume()


def blocks(page, language="sh"):
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def download_shrec(folder, year):
    """Leave what a SHREC archive unpacks to, small; z counts as in that year.

    156 planes without sample lie above and below it; 2020 leaves them out of all but
    the reconstruction.
    """
    names = [*MOLECULES, *OTHERS[year]]
    for n in range(10):
        inside = folder / f"model_{n}"
        planes, z = (322, 161) if year == 2021 else (10, 5)
        volume(inside / "reconstruction.mrc", (322, 20, 24), 10.0)
        occupancy = np.zeros((planes, 20, 24), np.float32)
        rows = []
        for k, name in enumerate(names):
            rows.append(f"{name} {k + 2} {k + 1} {z} 10 20 30\n")
            occupancy[z, k + 1, k + 2] = k + 1
        (inside / "particle_locations.txt").write_text("".join(rows))
        mrcfile.write(inside / "occupancy_mask.mrc", occupancy)


def prepare(recipe, folder, values):
    """Make the folder that a recipe's page describes; return it."""
    page = (recipe / "README.md").read_text(encoding="utf-8")
    size = values["voxel_size"]
    if recipe.name.startswith("shrec"):
        download_shrec(folder, int(recipe.name[-4:]))
        script = blocks(page)[0]
        here = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-ec", script],
            cwd=folder,
            check=True,
            env={**os.environ, "PATH": here},
        )
    elif recipe.name == "empiar-10045":
        for n in range(5, 12):
            volume(folder / f"{SAMPLE.format(n)}.mrc", (30, 40, 44), size)
        (folder / f"{SAMPLE.format(5)}.coords").write_text("1 20 18 12\n1 30 22 15\n")
    else:
        for n in (1, 2, 3):
            volume(folder / "tomograms" / f"TS_0{n}.mrc", (30, 40, 44), size)
        (folder / "centres").mkdir()
        name = values["classes"][0]["name"]
        for n in (1, 2):
            rows = f"class,x,y,z\n{name},20,18,12\n{name},30.5,22,15\n"
            (folder / "centres" / f"TS_0{n}.csv").write_text(rows)
    config = folder / "config.toml"
    config.write_text((recipe / "config.toml").read_text(encoding="utf-8"))
    return config


def plain(recipe):
    return tomllib.loads((recipe / "config.toml").read_text(encoding="utf-8"))


def test_the_configuration_passes_in_the_folder_that_its_page_describes(
    recipe, tmp_path
):
    values = plain(recipe)
    config = load_config(prepare(recipe, tmp_path, values))
    assert config.name == recipe.name
    assert config.labels.diameter == 7
    assert config.network.coordinates
    assert (config.training.patch, config.picking.margin) == (72, 12)
    particles, t_dist = PAPER[recipe.name]
    assert config.t_dist == t_dist
    if particles:
        epochs = config.training.steps / -(-particles // config.training.batch)
        assert epochs == 60
        # The published rule: half the diameter, rounded down, plus 1.
        voxels = round(config.classes[0].diameter / config.voxel_size)
        assert voxels // 2 + 1 == t_dist


@pytest.mark.parametrize("year", [2020, 2021])
def test_the_occupancy_of_shrec_lies_on_the_prepared_centres(root, year, tmp_path):
    recipe = root / "docs" / "recipes" / f"shrec{year}"
    prepare(recipe, tmp_path, plain(recipe))
    page = (recipe / "README.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"--occupancy DATA/(\S+)", page)
    voxels = mrcfile.read(tmp_path / named)
    assert voxels.shape == mrcfile.read(tmp_path / "model_9.mrc").shape
    with (tmp_path / "model_9.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows, start=1):
        assert voxels[int(row["z"]), int(row["y"]), int(row["x"])] == number
    known = {one["name"] for one in plain(recipe)["classes"]}
    left = {row["class"] for row in rows} - known
    assert left == ({"4v94"} if year == 2021 else set())


@pytest.mark.parametrize("name", [one for one in RECIPES if one.startswith("empiar")])
def test_a_wrong_voxel_size_is_refused_with_that_of_the_header(root, name, tmp_path):
    recipe = root / "docs" / "recipes" / name
    values = {**plain(recipe), "voxel_size": 4.44}
    with pytest.raises(ConfigError, match=r"4\.44"):
        load_config(prepare(recipe, tmp_path, values))


def test_every_page_names_every_file_of_its_configuration(recipe):
    page = (recipe / "README.md").read_text(encoding="utf-8")
    tree = blocks(page, "text")[0]
    data = plain(recipe)["data"]
    for source in data["train"]:
        name = source["coordinates"].rsplit("/", 1)[-1]
        ending = name.rsplit(".", 1)[-1]
        assert f".{ending}" in tree
        folder = source["tomogram"].rsplit("/", 1)[0]
        assert folder.split("[")[0].removesuffix(".mrc") in tree
    assert "## Not verified" in page


def commands():
    """All commands of the program, by their words."""
    found = {}

    def walk(command, words):
        found[words] = command
        for name, inside in getattr(command, "commands", {}).items():
            walk(inside, (*words, name))

    walk(get_command(app), ("dep",))
    return found


def test_every_command_of_a_page_exists_with_its_options(recipe):
    page = (recipe / "README.md").read_text(encoding="utf-8")
    known = commands()
    lines = [
        line
        for block in blocks(page)
        for line in block.splitlines()
        if line.startswith("dep ")
    ]
    assert {"train", "export", "pick"} <= {line.split()[1] for line in lines}
    for line in lines:
        words = tuple(shlex.split(line))
        command = next(known[words[:n]] for n in (3, 2) if words[:n] in known)
        options = {
            name
            for parameter in command.params
            for name in (*parameter.opts, *parameter.secondary_opts)
        }
        for word in words:
            if word.startswith("-"):
                assert word.split("=")[0] in options, line


def test_every_recipe_is_listed(root):
    folder = root / "docs" / "recipes"
    page = (folder / "README.md").read_text(encoding="utf-8")
    there = sorted(path.name for path in folder.iterdir() if path.is_dir())
    assert there == sorted(RECIPES)
    assert all(f"]({name}/README.md)" in page for name in there)
