"""The picture shows what the picks say, whatever the tomogram's shape."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from dep.engine import ClassInfo, Picks, Volume
from dep.engine.picture import draw_picture
from dep.engine.slices import COLOURS


def picture(path, shape, xyz=(), class_id=(), classes=1, diameter=100.0, **reads):
    rng = np.random.default_rng(3)
    volume = Volume(rng.normal(0, 1, shape).astype(np.float32), 10.0, "TS_01")
    if reads:
        inner = volume.read
        volume.read = lambda z0, z1: reads["seen"].append((z0, z1)) or inner(z0, z1)
    picks = Picks(
        xyz=np.array(xyz, np.float32).reshape(-1, 3),
        class_id=np.array(class_id, np.int32),
        score=np.ones(len(class_id), np.float32),
        classes=tuple(ClassInfo(f"c{n}", diameter) for n in range(classes)),
        tomogram="TS_01",
        shape=shape,
        voxel_size=10.0,
    )
    draw_picture(volume, picks, path)
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def pixels(image, colour):
    """How many pixels have about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(image.astype(int) - wanted).max(axis=2) < 40).sum())


@pytest.mark.parametrize(
    "shape", [(2, 30, 40), (1, 8, 8), (3, 50, 20), (40, 64, 64), (5, 9, 300)]
)
def test_any_shape_is_drawn(tmp_path, shape):
    image = picture(tmp_path / "a.png", shape, [(4, 4, 0)], [1])
    assert image.shape[1] >= 600


def test_a_pick_is_circled_where_its_sphere_is_cut(tmp_path):
    without = picture(tmp_path / "a.png", (40, 64, 64), [(32, 32, 0)], [1])
    within = picture(tmp_path / "b.png", (40, 64, 64), [(32, 32, 20)], [1])
    assert pixels(within, COLOURS[0]) > pixels(without, COLOURS[0]) + 500


def test_up_is_up(tmp_path):
    # A pick near y = 63 lies in the upper half of its panel.
    image = picture(tmp_path / "a.png", (40, 64, 64), [(32, 54, 20)], [1])
    wanted = np.array([int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)])
    rows, _ = np.nonzero(np.abs(image.astype(int) - wanted).max(axis=2) < 25)
    panel = rows[rows < 700]
    assert np.median(panel) < 84 + 310


def test_only_the_slabs_are_read(tmp_path):
    seen = []
    picture(tmp_path / "a.png", (200, 16, 16), seen=seen)
    assert len(seen) == 3 * 5
    assert all(z1 - z0 == 1 for z0, z1 in seen)


@pytest.mark.parametrize("classes", [1, 8, 30])
def test_every_class_has_a_place_in_the_legend(tmp_path, classes):
    image = picture(tmp_path / "a.png", (8, 32, 32), classes=classes)
    assert pixels(image, COLOURS[0]) > 0


def test_unknown_diameters_are_drawn_all_the_same(tmp_path):
    image = picture(tmp_path / "a.png", (40, 64, 64), [(32, 32, 20)], [1], diameter=0)
    assert pixels(image, COLOURS[0]) > 500


@pytest.mark.usefixtures("without_pillow")
def test_without_pillow_the_extra_is_named(tmp_path):
    with pytest.raises(ModuleNotFoundError, match=r"dep\[picture\]"):
        picture(tmp_path / "a.png", (8, 8, 8))


def test_a_full_disk_is_said_with_the_name_of_the_picture(tmp_path, monkeypatch):
    def full(*_args, **_words):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match=r"a\.png: cannot be written \(No space left"):
        picture(tmp_path / "a.png", (8, 8, 8))


def test_a_failed_picture_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        picture(tmp_path / "nowhere" / "a.png", (8, 8, 8))
    assert not list(tmp_path.iterdir())
