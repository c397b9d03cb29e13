"""Dark and bright particles are told apart, hollow ones and fringes included."""

import numpy as np
import pytest

from dep.train.contrast import believed, excess

CENTRES = np.array(
    [[x, y, z] for x in (12, 36, 60) for y in (12, 36, 60) for z in (12, 36)], float
)


def tomogram(kind, sign):
    """Noise with particles of one kind, (z, y, x), brighter for sign +1."""
    voxels = np.random.default_rng(3).normal(0, 1, (48, 72, 72))
    z, y, x = np.ogrid[:48, :72, :72]
    for cx, cy, cz in CENTRES:
        r = np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
        if kind == "ball":
            voxels += sign * 1.5 * (r < 3)
        elif kind == "shell":
            voxels += sign * 1.5 * ((r > 2.5) & (r < 5.5))
        else:  # a dense shell whose fringes make up for it, inside and outside
            voxels += sign * (
                2.0 * ((r > 2.5) & (r < 5))
                - 0.7 * (r < 2)
                - 0.5 * ((r > 5.5) & (r < 8))
            )
    return voxels


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("kind", ["ball", "shell", "fringed shell"])
def test_the_sign_of_particles_is_seen(kind, sign):
    voxels = tomogram(kind, sign)
    seen = believed(excess(voxels, voxels.mean(), voxels.std(), CENTRES))
    assert sign * seen > 0.1


def test_noise_alone_is_not_believed():
    voxels = np.random.default_rng(4).normal(0, 1, (48, 72, 72))
    assert believed(excess(voxels, 0.0, 1.0, CENTRES)) == 0


def test_centres_outside_or_in_a_sliver_are_passed_over():
    voxels = np.zeros((2, 40, 40))
    assert (
        excess(voxels, 0.0, 1.0, np.array([[5.0, 5, 1], [99, 5, 1], [-3, 5, 1]])) == []
    )
