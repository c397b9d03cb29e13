"""Assembly of batches on a CUDA device, or under the shim, equals the reference."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dep.kernels import assemble, reference
from dep.kernels.cuda.assemble import assemble as assemble_there

few = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
TYPES = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}


@pytest.fixture(autouse=True)
def clean(device):
    yield
    if hasattr(device, "forget"):
        device.forget()


def widened(scores, kind):
    if kind == "bf16":
        return (scores.astype(np.uint32) << 16).view(np.float32)
    return scores.astype(np.float32)


def narrowed(scores, kind):
    if kind == "bf16":
        return (np.ascontiguousarray(scores).view(np.uint32) >> 16).astype(np.uint16)
    return scores.astype(TYPES[kind])


@st.composite
def batches(draw):
    """A batch of tiles, and where each core lies in it and in the slabs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    edge = draw(st.sampled_from([3, 4, 8, 11]))
    slab = tuple(draw(st.integers(edge, 2 * edge)) for _ in range(3))
    background = draw(st.booleans())
    channels = draw(st.sampled_from([1, 2, 5])) + background
    count = draw(st.integers(1, 3))
    scores = rng.random((count, channels, edge, edge, edge)).astype(np.float32)
    if draw(st.booleans()):
        scores = np.round(scores * 4) / 4  # ties, and values equal to t_seg
    if draw(st.booleans()):
        odd = rng.random(scores.shape) < 0.1
        values = [np.nan, np.inf, -np.inf, -1.0, 2.0, 1e-6, -0.0, 1e-40]
        scores[odd] = rng.choice(np.array(values, np.float32), odd.sum())
    places = []
    for _ in range(draw(st.integers(1, count))):
        size = tuple(draw(st.integers(0, edge)) for _ in range(3))
        source = tuple(draw(st.integers(0, edge - d)) for d in size)
        target = tuple(draw(st.integers(0, s - d)) for s, d in zip(slab, size))  # noqa: B905
        places.append((source, target, size))
    return scores, slab, places, background


@few
@given(
    batches(),
    st.sampled_from(list(TYPES)),
    st.booleans(),
    st.sampled_from([0.0, 0.25, 0.5, 0.999]),
)
def test_it_equals_the_reference(device, batch, kind, joint, t_seg):
    scores, slab, places, background = batch
    scores = narrowed(scores, kind)
    start = [np.full(slab, 77, np.uint8) for _ in range(2)]
    there = [device.upload(one) for one in start]
    options = {"t_seg": t_seg, "joint": joint, "background": background}
    assemble_there(device, device.upload(scores), kind, *there, places, **options)
    expected = [one.copy() for one in start]
    for tile, (source, target, size) in zip(scores, places, strict=False):
        core = tuple(slice(o, o + d) for o, d in zip(source, size, strict=True))
        place = tuple(slice(o, o + d) for o, d in zip(target, size, strict=True))
        expected[0][place], expected[1][place] = reference.assemble(
            widened(tile[(slice(None), *core)], kind),
            np.float32(t_seg),
            joint=joint,
            background=background,
        )
    for found, want in zip(there, expected, strict=True):
        np.testing.assert_array_equal(device.download(found), want)


def test_every_half_is_widened_exactly(device):
    """All 65,536 of them, through a threshold that each value decides."""
    every = np.arange(65536, dtype=np.uint16)
    for kind in ("f16", "bf16"):
        scores = np.zeros((1, 1, 41, 41, 41), np.uint16)
        scores.reshape(-1)[:65536] = every
        value = scores.view(np.float16) if kind == "f16" else scores
        there = [device.zeros((41, 41, 41), np.uint8) for _ in range(2)]
        assemble_there(
            device,
            device.upload(value),
            kind,
            *there,
            [((0, 0, 0), (0, 0, 0), (41, 41, 41))],
            t_seg=0.0,
            joint=False,
            background=False,
        )
        expected = reference.assemble(
            widened(value[0], kind), np.float32(0), joint=False, background=False
        )
        for found, want in zip(there, expected, strict=True):
            np.testing.assert_array_equal(device.download(found), want)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("joint", [True, False])
def test_the_kernels_front_takes_it_too(dtype, joint):
    rng = np.random.default_rng(3)
    scores = rng.random((4, 20, 19, 18)).astype(dtype)
    slabs = {one: np.zeros((2, 16, 17, 18), np.uint8) for one in ("cuda", "c")}
    for backend, (labels, probability) in slabs.items():
        assemble(
            scores,
            labels,
            probability,
            (2, 3, 4),
            (1, 1, 1),
            (10, 11, 13),
            t_seg=0.4,
            joint=joint,
            backend=backend,
        )
    np.testing.assert_array_equal(slabs["cuda"], slabs["c"])


@few
@given(batches(), st.sampled_from(["softmax", "sigmoid"]), st.booleans())
def test_logits_get_their_activation(device, batch, activation, joint):
    """Equal to the reference on the activated scores, but for their rounding."""
    scores, slab, places, background = batch
    scores = np.nan_to_num(scores, nan=0.0, posinf=9.0, neginf=-9.0) * 8
    there = [device.zeros(slab, np.uint8) for _ in range(2)]
    t_seg = 0.3
    assemble_there(
        device,
        device.upload(scores),
        "f32",
        *there,
        places,
        t_seg=t_seg,
        joint=joint,
        background=background,
        activation=activation,
    )
    wide = scores.astype(np.float64)
    if activation == "softmax":
        p = np.exp(wide - wide.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
    else:
        p = 1 / (1 + np.exp(-wide))
    labels, probability = (device.download(one) for one in there)
    covered = np.zeros(slab, bool)
    for tile, (source, target, size) in reversed(
        list(zip(p.astype(np.float32), places, strict=False))
    ):
        core = tuple(slice(o, o + d) for o, d in zip(source, size, strict=True))
        place = tuple(slice(o, o + d) for o, d in zip(target, size, strict=True))
        inside = tile[(slice(None), *core)]
        want = reference.assemble(
            inside, np.float32(t_seg), joint=joint, background=background
        )
        fresh = ~covered[place]
        if sum(place_overlaps(target, size, t, s) for _, t, s in places) > 1:
            fresh[:] = False  # tiles own their voxels alone; overlaps are not defined
        # Where rounding decides, either is right.
        foreground = inside[1:] if background else inside
        best = np.sort(foreground, 0)
        near = np.abs(best[-1] - t_seg) < 1e-5
        if background:
            near |= np.abs(1 - inside[0] - t_seg) < 1e-5
        if len(best) > 1:
            near |= best[-1] - best[-2] < 1e-5
        sure = fresh & ~near
        np.testing.assert_array_equal(labels[place][sure], want[0][sure])
        difference = probability[place][sure].astype(int) - want[1][sure]
        assert np.abs(difference).max(initial=0) <= 1


def place_overlaps(target, size, other, extent):
    return 0 not in (*size, *extent) and all(
        a < b + e and b < a + d
        for a, d, b, e in zip(target, size, other, extent, strict=True)
    )


def test_what_does_not_fit_is_refused(device):
    scores = device.zeros((1, 2, 4, 4, 4), np.float32)
    slabs = [device.zeros((4, 4, 4), np.uint8) for _ in range(2)]
    place = ((0, 0, 0), (0, 0, 0), (4, 4, 4))
    options = {"t_seg": 0.5, "joint": False, "background": True}
    with pytest.raises(ValueError, match="2 tiles to assemble, 1 in the batch"):
        assemble_there(device, scores, "f32", *slabs, [place, place], **options)
