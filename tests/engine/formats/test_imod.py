"""IMOD models: what is in the bytes, what imodmodel reads, what damage does."""

import struct
import warnings
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import imod_model
from dep.engine.formats.imod_model import Model, ModelFault, ModelObject, encode
from dep.engine.formats.imod_reader import decode

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo("big one", 216.5),
    ClassInfo("rare", 0.0),
)


@pytest.fixture
def written(tmp_path, picks_of):
    return picks_of().write(tmp_path / "TS_01.mod")


def test_imodmodel_reads_objects_points_and_values(written):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imodmodel = pytest.importorskip("imodmodel")
        model = imodmodel.ImodModel.from_file(written)
        table = imodmodel.read(written)
    header = model.header
    assert (header.xmax, header.ymax, header.zmax) == (100, 101, 50)
    assert (header.pixelsize, header.units) == (pytest.approx(1.0), -9)
    assert [one.header.name for one in model.objects] == ["1bxn", "big one", "rare"]
    # Half a voxel in x and y, none in z: IMOD's corner is that of the first pixel,
    # and its sections are counted at their centres.
    np.testing.assert_array_equal(
        model.objects[0].contours[0].points, [[0.5, 0.5, 0], [10.75, 21, 30.75]]
    )
    np.testing.assert_array_equal(
        model.objects[1].contours[0].points, [[99.5, 100.5, 49]]
    )
    assert model.objects[2].contours == []
    # Diameters of 122 and 216.5 Å at 10 Å: 6.1 and 10.8 pixels.
    assert [one.header.pdrawsize for one in model.objects] == [6, 11, 0]
    assert all(int(one.header.flags) & 1 << 9 for one in model.objects)  # scattered
    assert (
        len({(o.header.red, o.header.green, o.header.blue) for o in model.objects}) == 3
    )
    stored = model.objects[0].contours[0].extra
    assert [(one.type, one.index, one.value) for one in stored] == [
        (10, 0, 0.875),
        (10, 1, 0.25),
    ]
    (extent,) = model.objects[0].extra
    assert (extent.type, extent.index, extent.value) == (11, 0.25, 0.875)
    assert len(table) == 3


def test_models_of_imodmodel_are_read(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imodmodel = pytest.importorskip("imodmodel")
        import pandas as pd

        imodmodel.write(
            pd.DataFrame({"x": [0.5, 3.5], "y": [0.5, 4.5], "z": [0.0, 5.0]}),
            tmp_path / "other.mod",
        )
    found = Picks.read(tmp_path / "other.mod")
    np.testing.assert_array_equal(found.xyz, [[0, 0, 0], [3, 4, 5]])
    assert found.shape is None  # its size is not an image's


def test_everything_comes_back(written, picks_of):
    found = Picks.read(written)
    np.testing.assert_array_equal(found.xyz, picks_of().xyz)
    assert found.class_names == ["1bxn", "big one", "1bxn"]
    np.testing.assert_array_equal(found.score, picks_of().score)
    assert (found.shape, found.voxel_size) == ((50, 101, 100), pytest.approx(10.0))
    assert [one.name for one in found.classes] == ["1bxn", "big one", "rare"]


def test_a_model_of_another_binning_is_scaled_as_3dmod_does(written, picks_of):
    """But not one whose pixel size differs by a calibration, or was never set."""
    np.testing.assert_allclose(
        Picks.read(written, voxel_size=5.0).xyz, picks_of().xyz * 2
    )
    np.testing.assert_array_equal(
        Picks.read(written, voxel_size=10.4).xyz, picks_of().xyz
    )
    unset = picks_of(voxel_size=1.0).write(written.with_name("unset.mod"))
    np.testing.assert_array_equal(Picks.read(unset, voxel_size=9.0).xyz, picks_of().xyz)


def test_names_longer_than_imod_s_are_refused(tmp_path, picks_of):
    with pytest.raises(PicksError, match="at most 63 bytes"):
        picks_of(classes=(ClassInfo("é" * 32, 1.0), *CLASSES[1:])).write(
            tmp_path / "a.mod"
        )
    assert not list(tmp_path.iterdir())


def raw(*chunks, flags=0, size=(8, 9, 10), objects=1, nanometre=0.5):
    """Make a model by hand, as 3dmod would save it."""
    header = imod_model.HEADER.pack(
        b"", *size, objects, flags, 1, 1, 0, 255, *[0.0] * 3, *[1.0] * 3, 0, 0, 0, 3, 0,
        nanometre, -9, 0, *[0.0] * 3,
    )  # fmt: skip
    return b"".join((b"IMODV1.2", header, *chunks, b"IEOF"))


def chunk(word, content):
    return word + struct.pack(">i", len(content)) + content


def object_of(name=b""):
    head = imod_model.OBJECT.pack(
        name, *[0] * 16, 1, 0, 0, 1, 1.0, 0.0, 0.0, 0, *[0] * 8, 0, 0
    )
    return b"OBJT" + head


def contour(*points):
    head = imod_model.CONTOUR.pack(len(points), 0, 0, 0)
    return b"CONT" + head + np.array(points, ">f4").tobytes()


class TestModelsOf3dmod:
    def test_points_of_any_contour_count_and_other_chunks_are_passed_over(
        self, tmp_path
    ):
        mesh = b"MESH" + imod_model.MESH.pack(2, 3, 0, 0, 0) + bytes(2 * 12 + 3 * 4)
        (tmp_path / "a.mod").write_bytes(
            raw(
                chunk(b"VIEW", bytes(44)),
                object_of(b"ribosome"),
                chunk(b"LABL", b"odd"),
                contour([1.5, 2.5, 3], [2.5, 2.5, 3]),
                contour([4.5, 4.5, 4]),
                mesh,
                object_of(),
                contour([7.5, 7.5, 7]),
                objects=2,
            )
        )
        found = Picks.read(tmp_path / "a.mod")
        np.testing.assert_array_equal(
            found.xyz, [[1, 2, 3], [2, 2, 3], [4, 4, 4], [7, 7, 7]]
        )
        assert found.class_names == ["ribosome"] * 3 + ["object 2"]

    def test_objects_without_names_are_classes_by_number(self, tmp_path):
        (tmp_path / "a.mod").write_bytes(
            raw(object_of(), contour([1, 1, 1]), object_of(), contour([2, 2, 2]))
        )
        found = Picks.read(tmp_path / "a.mod", classes=CLASSES)
        assert found.class_names == ["1bxn", "big one"]

    def test_a_pixel_size_that_was_never_set_is_unknown(self, tmp_path):
        """IMOD takes 1 Å for an image whose header has none."""
        (tmp_path / "a.mod").write_bytes(raw(object_of(), nanometre=0.1))
        assert Picks.read(tmp_path / "a.mod").voxel_size is None
        (tmp_path / "a.mod").write_bytes(raw(object_of(), nanometre=0.25))
        assert Picks.read(tmp_path / "a.mod").voxel_size == 2.5

    def test_values_of_contours_are_scores(self, tmp_path):
        """IMOD's bead finders make a contour of each bead and value that."""
        store = np.zeros(2, imod_model.STORE)
        store["type"], store["flags"] = imod_model.VALUE, imod_model.VALUE_IS_FLOAT
        store["index"], store["value"] = [0, 1], [0.25, 0.75]
        (tmp_path / "a.mod").write_bytes(
            raw(
                object_of(b"bead"),
                contour([1, 1, 1]),
                contour([2, 2, 2]),
                chunk(b"OBST", store.tobytes()),
            )
        )
        np.testing.assert_array_equal(
            Picks.read(tmp_path / "a.mod").score, [0.75, 0.25]
        )

    def test_a_model_of_a_part_of_the_image_is_put_back(self):
        """``(otrans - ctrans) / cscale``, IMOD's text format on refoldtrans."""
        image = np.array(
            [[1] * 3, [-5, -10, 0], [0] * 3, [5] * 3, [-105, -60, -15], [0] * 3], ">f4"
        )
        model = decode(
            raw(
                object_of(), contour([1, 1, 1]), chunk(b"MINX", image.tobytes()),
                flags=imod_model.HAS_ORIGIN,
            )
        )  # fmt: skip
        assert model.shift == (20, 10, 3)
        assert model.of_image

    def test_a_flipped_model_is_flipped_back(self):
        model = decode(
            raw(
                object_of(), contour([1, 2, 3]), flags=imod_model.Y_AND_Z_SWAPPED,
                size=(8, 10, 9),
            )
        )  # fmt: skip
        np.testing.assert_array_equal(model.objects[0].points, [[1, 3, 2]])
        assert model.size == (8, 9, 10)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the word IMOD"),
        (b"IMODV9.9", "version V1.2, found b'V9.9'"),
        (
            b"IMODV1.2" + bytes(100),
            "the header at byte 8 needs 232 bytes, 100 are left",
        ),
        (raw()[:-4], "next chunk's name at byte 240"),
        (raw(contour([1, 2, 3])), "points before the first object, at byte 240"),
        (
            raw(object_of(), b"CONT" + struct.pack(">iIii", 2**31 - 1, 0, 0, 0)),
            "a contour of 2147483647 points at byte 440",
        ),
        (
            raw(object_of(), b"CONT" + struct.pack(">iIii", -5, 0, 0, 0)),
            "a contour of -5 points",
        ),
        (raw(object_of(), contour([np.nan, 0, 0])), "points that are not finite"),
        (raw(b"VIEW" + struct.pack(">i", -8)), "chunk VIEW"),
        (raw(b"VIEW" + struct.pack(">i", 2**30)), "needs 1073741824 bytes"),
        (raw(object_of(), chunk(b"COST", bytes(13))), "a multiple of 12"),
        (
            raw(object_of(), b"MESH" + imod_model.MESH.pack(-1, 4, 0, 0, 0)),
            "sizes below 0",
        ),
    ],
)
def test_damage_is_told_by_its_byte(tmp_path, data, words):
    (tmp_path / "a.mod").write_bytes(data)
    with pytest.raises(PicksError, match=rf"a\.mod: not an IMOD model: .*{words}"):
        Picks.read(tmp_path / "a.mod")


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=15).map(
    str.strip
)
coordinates = st.floats(-(2.0**100), 2.0**100, width=32)


@given(
    objects=st.lists(
        st.tuples(
            names,
            st.lists(
                st.tuples(
                    coordinates,
                    coordinates,
                    coordinates,
                    st.floats(0, 1, width=32) | st.just(np.nan),
                ),
                max_size=4,
            ),
        ),
        max_size=4,
    ),
    pixel_size=st.none() | st.floats(0.25, 100),
)
@settings(max_examples=30)
def test_any_model_comes_back_bit_for_bit(objects, pixel_size):
    model = Model(
        tuple(
            ModelObject(
                name,
                np.array([row[:3] for row in rows], np.float32).reshape(-1, 3),
                np.array([row[3] for row in rows], np.float32),
            )
            for name, rows in objects
        ),
        "dep any",
        (3, 4, 5),
        pixel_size,
    )
    found = decode(encode(model))
    assert [one.name for one in found.objects] == [one.name for one in model.objects]
    for one, other in zip(found.objects, model.objects, strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.values, other.values)
    assert (found.name, found.size) == (model.name, model.size)
    assert found.pixel_size == (pixel_size and pytest.approx(pixel_size, rel=1e-5))


def test_no_damage_is_more_than_a_fault():
    """Bytes that were overwritten, cut out, or cut off."""
    whole = encode(
        Model(
            tuple(
                ModelObject(name, np.ones((3, 3), np.float32), np.ones(3, np.float32))
                for name in ("a", "b")
            )
        )
    )
    rng = np.random.default_rng(5)
    for _ in range(1000):
        data = bytearray(whole)
        at, length = rng.integers(0, len(data)), rng.integers(1, 5)
        data[at : at + length] = rng.bytes(length) if rng.random() < 0.7 else b""
        if rng.random() < 0.2:
            del data[rng.integers(0, len(data)) :]
        with suppress(ModelFault):
            model = decode(bytes(data))
            assert sum(len(one.points) for one in model.objects) <= 6
