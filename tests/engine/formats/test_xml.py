"""DeepFinder's object lists and ChimeraX's markers; XML that is not safe to read."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks, PicksError
from dep.engine.formats import LossWarning, write_picks

CLASSES = (
    ClassInfo("1bxn", 122.0),
    ClassInfo('<big> & "one"', 216.5),
    ClassInfo("rare", 0.0),
)


class TestDeepFinder:
    def test_objects_have_what_its_reader_takes(self, tmp_path, picks_of):
        write_picks([picks_of()], tmp_path / "a.xml")
        root = ET.parse(tmp_path / "a.xml").getroot()
        assert root.tag == "objlist"
        found = [
            (
                int(one.get("class_label")),
                float(one.get("x")),
                float(one.get("y")),
                float(one.get("z")),
                int(one.get("tomo_idx")),
                int(one.get("obj_id")),
            )
            for one in root
        ]
        assert found == [
            (1, 0, 0, 0, 0, 1),
            (2, 99, 100, 49, 0, 2),
            (1, 10.25, 20.5, 30.75, 0, 3),
        ]

    def test_several_tomograms_are_told_by_index(self, tmp_path, picks_of):
        two = [picks_of(), picks_of(tomogram="TS_02", score=[1, 1, 1])]
        write_picks(two, tmp_path / "a.xml")
        assert Picks.read(tmp_path / "a.xml", tomogram="1").tomogram == "1"
        with pytest.raises(PicksError, match=r"holds 2 tomograms \(0, 1\)"):
            Picks.read(tmp_path / "a.xml")

    def test_a_list_of_its_own(self, tmp_path):
        """Two quotes, angles, and the size of a cluster."""
        (tmp_path / "a.xml").write_text(
            "<objlist>\n  <object tomo_idx='8' obj_id='0' class_label='2' x='1.5' "
            "y='2.0' z='3' psi='1.0' phi='2.0' the='3.0' cluster_size='51'/>"
            "\n</objlist>"
        )
        found = Picks.read(tmp_path / "a.xml")
        np.testing.assert_array_equal(found.xyz, [[1.5, 2, 3]])
        assert (found.class_names, found.tomogram) == (["2"], "a")

    def test_scores_that_are_lost_are_told(self, tmp_path, picks_of):
        with pytest.warns(LossWarning) as caught:
            picks_of().write(tmp_path / "a.xml")
        assert any("no place for scores" in str(one.message) for one in caught)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "line 1: not XML"),
            ("<objlist>", "line 1: not XML"),
            ("<annotations/>", "line 1: expected <objlist>, found <annotations>"),
            (
                "<objlist>\n<thing/></objlist>",
                "line 2: expected <object>, found <thing>",
            ),
            (
                "<objlist>\n<object x='1' y='2'/></objlist>",
                "line 2: the object has no cl",
            ),
            (
                "<objlist><object class_label='1' x='a' y='2' z='3'/></objlist>",
                "line 1, x: expected a number, found 'a'",
            ),
            (
                "<objlist><object class_label='r' x='1' y='2' z='3'/></objlist>",
                "line 1, class_label: expected a number",
            ),
            (
                "<objlist><object class_label='1' x='1' y='2' z='3' tomo_idx='a'/>"
                "</objlist>",
                "line 1, tomo_idx",
            ),
            ("<?xml version='1.0' encoding='klingon'?><objlist/>", "line 1: not XML"),
        ],
    )
    def test_malformed(self, tmp_path, text, words):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(PicksError, match=rf"a\.xml: {words}"):
            Picks.read(tmp_path / "a.xml")


LAUGHS = (
    '<!DOCTYPE objlist [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<objlist><object class_label='&c;' x='1' y='1' z='1'/></objlist>"
)
OUTSIDE = (
    '<!DOCTYPE objlist [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
    "<objlist><object class_label='1' x='&secret;' y='1' z='1'/></objlist>"
)


@pytest.mark.parametrize(
    "text", [LAUGHS, OUTSIDE, "<!DOCTYPE objlist SYSTEM 'a.dtd'><objlist/>"]
)
@pytest.mark.parametrize("suffix", [".xml", ".cmm"])
def test_document_types_and_entities_are_refused(tmp_path, text, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text(text)
    with pytest.raises(PicksError, match="has a document type"):
        Picks.read(path)


class TestMarkers:
    def test_sets_markers_and_looks(self, tmp_path, picks_of):
        root = ET.parse(picks_of().write(tmp_path / "a.cmm")).getroot()
        assert root.tag == "marker_sets"
        assert [one.get("name") for one in root] == [one.name for one in CLASSES]
        assert [len(one) for one in root] == [2, 1, 0]
        marker = root[0][1]
        # Å: voxel x voxel size. Radius: half the diameter.
        assert [float(marker.get(k)) for k in "xyz"] == [102.5, 205, 307.5]
        assert float(marker.get("radius")) == 61
        assert marker.get("note") == "1bxn 0.2500"
        colours = {tuple(one[0].get(k) for k in "rgb") for one in root if len(one)}
        assert len(colours) == 2
        assert all(0 <= float(part) <= 1 for colour in colours for part in colour)
        assert len({marker.get("id") for marker in root[0]}) == 2

    def test_everything_comes_back(self, tmp_path, picks_of):
        found = Picks.read(picks_of().write(tmp_path / "a.cmm"))
        np.testing.assert_allclose(found.xyz, picks_of().xyz, atol=1e-4)
        np.testing.assert_array_equal(found.score, picks_of().score)
        assert found.classes == CLASSES
        assert (found.tomogram, found.shape, found.voxel_size) == (
            "TS_01",
            (50, 101, 100),
            10.0,
        )

    def test_their_tomogram_s_size_is_of_no_use_at_another_voxel_size(
        self, tmp_path, picks_of
    ):
        found = Picks.read(picks_of().write(tmp_path / "a.cmm"), voxel_size=5.0)
        np.testing.assert_allclose(found.xyz, picks_of().xyz * 2, atol=2e-4)
        assert (found.shape, found.voxel_size) == (None, 5.0)

    def test_markers_of_chimerax_s_user_guide(self, tmp_path):
        (tmp_path / "a.cmm").write_text(
            '<marker_set name="marker set 1">\n'
            '<marker id="1" x="-6.1267" y="17.44" z="-3.1338" radius="0.35217"/>\n'
            '<marker id="2" x="1.5395" y="16.277" z="-3.0339" r="0" g="1" b="1"\n'
            ' radius="0.5" note="An example note"/>\n'
            '<link id1="2" id2="1" r="1" g="1" b="0" radius="0.17609"/>\n'
            "</marker_set>\n"
        )
        found = Picks.read(tmp_path / "a.cmm", voxel_size=2.0)
        np.testing.assert_allclose(found.xyz[1], [0.76975, 8.1385, -1.51695])
        assert found.class_names == ["marker set 1"] * 2
        with pytest.raises(PicksError, match=r"ångström.*voxel size is unknown"):
            Picks.read(tmp_path / "a.cmm")

    def test_the_voxel_size_is_needed(self, tmp_path, picks_of):
        with pytest.raises(
            PicksError, match="ChimeraX needs the tomogram's voxel size"
        ):
            picks_of(voxel_size=None).write(tmp_path / "a.cmm")

    def test_names_that_no_xml_can_hold(self, tmp_path, picks_of):
        with pytest.raises(PicksError, match="no XML file can hold"):
            picks_of(tomogram="a\x01").write(tmp_path / "a.cmm")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("<marker_sets><marker x='1' y='1' z='1'/></marker_sets>", "no marker set"),
            ("<marker_set>\n<marker x='1' z='1'/></marker_set>", "line 2: .*has no y"),
            ("<marker_set><marker x='1' y='b' z='1'/></marker_set>", "line 1, y"),
            ("<marker_set voxel_size='0'/>", "voxel_size: expected a number above 0"),
            ("<marker_set size='1 2'/>", "size: expected three whole numbers"),
            ("<marker_set diameter='-1'/>", "diameter: expected a number above 0"),
            ("<marker_set><marker x='1' y='1' z='1' score='s'/></marker_set>", "score"),
        ],
    )
    def test_malformed(self, tmp_path, text, words):
        (tmp_path / "a.cmm").write_text(text)
        with pytest.raises(PicksError, match=rf"a\.cmm: .*{words}"):
            Picks.read(tmp_path / "a.cmm", voxel_size=1.0)


def test_more_classes_than_colours_are_told_apart():
    from dep.engine.formats.class_colours import colour

    assert len({colour(number) for number in range(21)}) == 21
