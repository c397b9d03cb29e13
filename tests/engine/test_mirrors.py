"""Averages over mirror images are what the images' scores say."""

import numpy as np
import pytest

from dep.engine import Picker, SettingError, StoppedError
from dep.engine.mirrors import IMAGES, MirrorAverage


class Lopsided:
    """Scores of a voxel look at its neighbour in each direction."""

    name, device, precision, threads, batch, free = "lopsided", "cpu", "f32", 1, 3, True
    interrupted = closed = 0

    def infer(self, tiles):
        shifted = [np.roll(tiles, step, 2 + step - 1) for step in (1, 2, 3)]
        return np.concatenate([tiles, *shifted], 1)

    def interrupt(self):
        self.interrupted += 1

    def close(self):
        self.closed += 1


@pytest.mark.parametrize("images", [2, 4, 8])
@pytest.mark.parametrize("batch", [1, 3])
def test_it_is_the_mean_over_all_images(images, batch):
    tiles = np.random.default_rng(batch).normal(size=(batch, 1, 4, 5, 6)).astype("f4")
    found = MirrorAverage(Lopsided(), images).infer(tiles)
    assert len(set(IMAGES[images])) == images
    expected = np.mean(
        [np.flip(Lopsided().infer(np.flip(tiles, a)), a) for a in IMAGES[images]], 0
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # As often as the group has mirrors: mirroring the tile mirrors the scores.
    mirrored = MirrorAverage(Lopsided(), images).infer(np.flip(tiles, 4).copy())
    np.testing.assert_allclose(np.flip(mirrored, 4), found, atol=1e-6)


def test_the_tile_is_left_as_it_is():
    tiles = np.random.default_rng(0).normal(size=(1, 1, 4, 5, 6)).astype("f4")
    kept = tiles.copy()
    MirrorAverage(Lopsided(), 8).infer(tiles)
    np.testing.assert_array_equal(tiles, kept)


def test_an_interrupt_between_two_images_ends_it():
    calls = []

    class Slow(Lopsided):
        def infer(self, tiles):
            calls.append(1)
            if len(calls) == 2:
                average.interrupt()
            return super().infer(tiles)

    average = MirrorAverage(Slow(), 8)
    tiles = np.zeros((1, 1, 4, 4, 4), np.float32)
    with pytest.raises(StoppedError):
        average.infer(tiles)
    assert len(calls) == 2
    average.interrupt()  # none is running: harmless
    assert average.infer(tiles).shape == (1, 4, 4, 4, 4)
    average.close()


def test_a_picker_averages(tiny_model, make_tomogram, tmp_path):
    path = tmp_path / "t.mrc"
    make_tomogram(path)
    with (
        Picker(tiny_model, "cpu") as plain,
        Picker(tiny_model, "cpu", mirrors=4) as one,
    ):
        a, b = plain.pick(tmp_path / "t.mrc"), one.pick(tmp_path / "t.mrc")
    assert len(a) > 0
    # Its network is symmetric: the same particles, and scores but for rounding.
    np.testing.assert_allclose(b.xyz, a.xyz, atol=0.05)
    with pytest.raises(SettingError, match="mirrors: expected 1, 2, 4 or 8, found 3"):
        Picker(tiny_model, "cpu", mirrors=3)
