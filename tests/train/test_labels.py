"""Weak labels: the paper's three solids, at their places, never lost to one another."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.train.labels import (
    KINDS,
    UNKNOWN,
    hide_unannotated,
    label_mask,
    weak_labels,
)


@pytest.mark.parametrize(
    ("kind", "count"), [("cubic", 343), ("ball", 93), ("tball", 275)]
)
def test_number_of_voxels_at_the_papers_diameter(kind, count):
    """Counted from the inequalities, for d = 7 and so r = 3."""
    r = 3
    inside = 0
    for z in range(-r, r + 1):
        for y in range(-r, r + 1):
            for x in range(-r, r + 1):
                v2 = z * z + y * y + x * x
                inside += kind == "cubic" or v2 < (9 if kind == "ball" else 18)
    assert inside == count
    assert label_mask(7, kind).sum() == count


@given(st.integers(1, 12), st.sampled_from(KINDS))
def test_solids_are_symmetric_and_nested(r, kind):
    mask = label_mask(2 * r + 1, kind)
    assert (mask == mask[::-1]).all()
    assert (mask == mask.transpose(2, 0, 1)).all()
    assert mask[r, r, r]
    assert not (label_mask(2 * r + 1, "ball") & ~label_mask(2 * r + 1, "tball")).any()


def spread_over(shape, places):
    """Centres (n, 3) x, y, z at parts of a volume's edges."""
    xyz = [[u * (n - 1) for u, n in zip(p, shape[::-1], strict=True)] for p in places]
    return np.array(xyz).reshape(-1, 3)


SHAPES = st.tuples(*[st.integers(1, 14)] * 3)
PLACES = st.lists(st.tuples(*[st.floats(0, 0.999)] * 3), max_size=6)


@settings(max_examples=50)
@given(SHAPES, PLACES, st.lists(st.sampled_from([3, 5, 7]), min_size=6, max_size=6))
def test_every_voxel_goes_to_the_nearest_centre_that_reaches_it(shape, places, d):
    xyz = spread_over(shape, places)
    ids = np.arange(1, len(xyz) + 1)
    labels = weak_labels(shape, xyz, ids, d)
    for z, y, x in np.ndindex(shape):
        reach = []
        for centre, label in zip(xyz, ids, strict=True):
            r = d[label - 1] // 2
            v = np.array([x, y, z]) - np.floor(centre + 0.5)
            if np.abs(v).max() <= r and (v**2).sum() < 2 * r * r:
                distance = ((np.array([x, y, z]) - centre) ** 2).sum()
                reach.append((np.float32(distance), label))
        assert labels[z, y, x] == (min(reach)[1] if reach else 0)


@given(SHAPES, PLACES, st.sampled_from(KINDS))
def test_one_diameter_for_all_is_that_diameter_for_each(shape, places, kind):
    xyz = spread_over(shape, places)
    ids = np.arange(len(xyz)) % 2 + 1
    one = weak_labels(shape, xyz, ids, 5, kind)
    assert (one == weak_labels(shape, xyz, ids, [5, 5], kind)).all()


@given(SHAPES, PLACES, st.lists(st.floats(0.5, 5), min_size=6, max_size=6))
def test_background_is_known_inside_annotated_particles_alone(shape, places, radii):
    xyz = spread_over(shape, places)
    radii = radii[: len(xyz)]
    labels = weak_labels(shape, xyz, np.arange(1, len(xyz) + 1), 3)
    hidden = hide_unannotated(labels, xyz, radii)
    z, y, x = np.indices(shape)
    inside = np.zeros(shape, bool)
    for (cx, cy, cz), r in zip(xyz, radii, strict=True):
        inside |= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= r * r - 1e-5
    assert (hidden[labels > 0] == labels[labels > 0]).all()
    assert (hidden[inside & (labels == 0)] == 0).all()
    outer = np.zeros(shape, bool)
    for (cx, cy, cz), r in zip(xyz, radii, strict=True):
        outer |= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= r * r + 1e-5
    assert (hidden[~outer & (labels == 0)] == UNKNOWN).all()


def test_a_centre_outside_is_named():
    with pytest.raises(ValueError, match=r"1 of 2 .* number 2 .*\(3\.0, 4\.0, 20\.0\)"):
        weak_labels((10, 10, 10), [[1, 1, 1], [3, 4, 20]], [1, 2], 7)


@pytest.mark.parametrize("diameter", [1, 2, 6, -3])
def test_even_and_tiny_diameters_are_refused(diameter):
    with pytest.raises(ValueError, match="odd"):
        weak_labels((10, 10, 10), [[1, 1, 1]], [1], diameter)


def test_class_ids_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"1\.\.254, found 255"):
        weak_labels((10, 10, 10), [[1, 1, 1]], [UNKNOWN], 7)
    with pytest.raises(ValueError, match="equally many"):
        weak_labels((10, 10, 10), [[1, 1, 1]], [1, 2], 7)
    with pytest.raises(ValueError, match="2 label diameters for classes up to 3"):
        weak_labels((10, 10, 10), [[1, 1, 1]], [3], [7, 5])
    with pytest.raises(ValueError, match="odd"):
        weak_labels((10, 10, 10), [[1, 1, 1]], [1], (7, 6))


def test_what_a_class_is_worth_is_its_own_diameter():
    labels = weak_labels((20, 20, 20), [[5, 5, 5], [14, 14, 14]], [1, 2], (3, 7))
    assert [np.count_nonzero(labels == c) for c in (1, 2)] == [7, 275]
