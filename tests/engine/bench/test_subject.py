"""Made-up tomograms, and contenders that open with what they say."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dep.engine import TomogramError, open_volume
from dep.engine.bench import Contender, made_up
from dep.engine.model_file import read_card


def test_noise_is_a_tomogram_until_it_is_no_longer_needed(tiny_model):
    card = read_card(tiny_model)
    with made_up((6, 10, 14), card) as subject:
        assert subject.made_up
        with open_volume(subject.path) as volume:
            assert volume.shape == (6, 10, 14)
            assert volume.voxel_size == pytest.approx(card.voxel_size)
            assert volume.warnings == ()
            voxels = np.array(volume.array)
        assert voxels.dtype == np.float32
        assert abs(voxels.mean()) < 0.2
        assert 0.8 < voxels.std() < 1.2
        assert not np.array_equal(voxels[0], voxels[1])
    assert not subject.path.exists()


def test_noise_that_does_not_fit_is_an_error(tiny_model, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_):
        raise full

    monkeypatch.setattr("dep.engine.bench.subject._write_noise", fail)
    with (
        pytest.raises(TomogramError, match=r"No space left.*TMPDIR"),
        made_up((4, 4, 4), read_card(tiny_model)),
    ):
        pass


def test_contenders_open_with_what_they_say(tiny_model):
    pytest.importorskip("onnxruntime")
    one = Contender(model=tiny_model, runtime="onnxruntime", threads=1, batch=3)
    with one.open() as picker:
        assert picker.runtime.name.startswith("onnxruntime")
        assert (picker.runtime.threads, picker.runtime.batch) == (1, 3)
    assert Path(one.options()["model"]) == tiny_model
    assert Contender(**one.options()).options() == one.options()
    assert replace(one, model=None).options()["model"] is None
