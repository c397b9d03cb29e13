"""The bundled model's picks do not depend on how they are computed."""

from pathlib import Path

import numpy as np
import pytest

from dep.engine import Picker, open_volume
from dep.engine.metrics import evaluate

SAMPLE = Path(__file__).parents[2] / "docs" / "sample" / "sample.mrc"
PART = (slice(20, 84), slice(40, 120), slice(40, 120))
TILE = (48, 48, 48)  # two layers of three by three


def picked(**options):
    """Pick twice with one picker."""
    with (
        open_volume(SAMPLE) as volume,
        Picker("fast", "cpu", tile=TILE, **options) as p,
    ):
        part = np.array(volume.array[PART])
        return p.pick(part, volume.voxel_size), p.pick(part, volume.voxel_size)


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("xyz", "class_id", "score")
    )


@pytest.fixture(scope="module")
def expected():
    """Give what each runtime picks, with one thread and one tile at a time."""
    return {
        runtime: picked(runtime=runtime, threads=1, batch=1)[0]
        for runtime in ("openvino", "onnxruntime")
    }


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(("threads", "batch"), [(2, 3), (3, 1)])
def test_picks_are_the_same_to_the_last_bit(expected, runtime, threads, batch):
    """Across threads of the network and the kernels, batch sizes, and runs."""
    assert len(expected[runtime]) > 5
    first, again = picked(runtime=runtime, threads=threads, batch=batch)
    assert same(first, expected[runtime])
    assert same(again, first)


def test_nor_does_it_matter_which_kernels_search(expected):
    assert same(picked(kernels="reference")[0], expected["openvino"])


def test_runtimes_agree(expected):
    """To all but rounding: float32 sums in another order move a score by 1e-6."""
    one, other = expected["openvino"], expected["onnxruntime"]
    found = evaluate(
        one.xyz, one.class_id, other.xyz, other.class_id, [2.0] * len(one.classes)
    )
    assert found.localisation.f1 >= 0.999
    assert found.mean_class_f1 >= 0.999
    assert found.mean_distance < 1e-2
