"""A whole tomogram's truth, all classes, in each format, read by other programs.

imodmodel and dynamotable are installed with the tests; copick and cryoCAT are large and
used where they are: copick 1.31.0 and cryoCAT 0.7.1 have read these files.
"""

import json
import warnings
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from dep.engine import ClassInfo, Picks
from dep.engine.formats import FORMATS, write_picks

SIZE = 10.0  # Å
HALF = np.array([0.5, 0.5, 0.0])  # voxels, from the corner of IMOD
DIAMETER = 120.0  # Å, of any class here: what matters is that there is one
FORMS = ("dynamo", "eman2", "imod", "deepfinder", "copick", "portal", "cmm")


@pytest.fixture(scope="module")
def truth(shared_data):
    """Truth of tomogram 10: 14 classes, with scores of its own for each particle."""
    found = Picks.read(
        shared_data / "tomograms" / "tomo_0010.csv", tomogram="tomo_0010"
    )
    assert len(found.classes) == 14
    assert len(found) == 241
    return Picks(
        xyz=found.xyz,
        class_id=found.class_id,
        score=np.round(np.linspace(1, 0.1, len(found)), 4),
        classes=tuple(ClassInfo(one.name, DIAMETER) for one in found.classes),
        tomogram="tomo_0010",
        shape=(128, 256, 256),
        voxel_size=SIZE,
    )


@pytest.fixture(scope="module")
def written(truth, tmp_path_factory):
    """What is written of it, by format."""
    paths = {}
    for form in FORMS:
        folder = tmp_path_factory.mktemp(form)
        paths[form] = FORMATS[form].target_of(folder, truth.tomogram)
        write_picks([truth], paths[form], form)
    return paths


def of_class(truth, number):
    return truth.xyz[truth.class_id == number]


@pytest.mark.parametrize("form", FORMS)
def test_it_comes_back(truth, written, form):
    found = Picks.read(
        written[form], form, classes=truth.classes, shape=truth.shape, voxel_size=SIZE
    )
    assert found.tomogram == "tomo_0010"
    assert found.counts() == truth.counts()
    for number in range(1, len(truth.classes) + 1):
        places, wanted = of_class(found, number), of_class(truth, number)
        np.testing.assert_allclose(
            places[np.lexsort(places.round(2).T)],
            wanted[np.lexsort(wanted.round(2).T)],
            atol=2e-3,
        )
    if form not in ("deepfinder", "portal"):
        np.testing.assert_allclose(found.score, truth.score, atol=1e-4)


def test_imodmodel(truth, written):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        imodmodel = pytest.importorskip("imodmodel")
        model = imodmodel.ImodModel.from_file(written["imod"])
    assert [one.header.name for one in model.objects] == [c.name for c in truth.classes]
    for number, one in enumerate(model.objects, start=1):
        np.testing.assert_allclose(
            one.contours[0].points, of_class(truth, number) + HALF, atol=1e-4
        )
        assert one.header.pdrawsize == 6


def test_dynamotable(truth, written):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamotable = pytest.importorskip("dynamotable")
        table = dynamotable.read(
            written["dynamo"], written["dynamo"].with_suffix(".doc")
        )
    np.testing.assert_allclose(table[["x", "y", "z"]], truth.xyz + 1, atol=1e-3)
    np.testing.assert_array_equal(table["class"], truth.class_id)
    assert set(table["tomo_file"]) == {"tomo_0010.mrc"}


def test_cryocat(truth, written):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cryomotl = pytest.importorskip("cryocat.cryomotl")
        table = cryomotl.DynamoMotl(str(written["dynamo"])).df
    np.testing.assert_allclose(table[["x", "y", "z"]], truth.xyz + 1, atol=1e-3)
    np.testing.assert_array_equal(table["class"], truth.class_id)
    np.testing.assert_allclose(table["score"], truth.score, atol=1e-4)
    assert set(table["tomo_id"]) == {10}


def test_copick(truth, written):
    project = written["copick"]
    names = [one.name for one in truth.classes]
    config = project / "config.json"
    config.write_text(
        json.dumps(
            {
                "config_type": "filesystem",
                "pickable_objects": [
                    {"name": name, "is_particle": True, "label": number}
                    for number, name in enumerate(
                        (name.replace("_", "-") for name in names), start=1
                    )
                ],
                "overlay_root": f"local://{project}",
            }
        )
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copick = pytest.importorskip("copick")
        run = copick.from_file(str(config)).get_run("tomo_0010")
        for number, name in enumerate(names, start=1):
            (found,) = run.get_picks(object_name=name.replace("_", "-"))
            np.testing.assert_allclose(
                found.numpy()[0], of_class(truth, number) * SIZE, atol=1e-2
            )


def test_the_arithmetic_of_e2spt_boxer(truth, written):
    """``b / apix * apix_unbin + size // 2``: what EMAN2 computes on opening."""
    info = json.loads(written["eman2"].read_text())
    places = np.array([box[:3] for box in info["boxes_3d"]])
    np.testing.assert_allclose(
        places / SIZE * info["apix_unbin"] + [128, 128, 64], truth.xyz, atol=1e-3
    )


def test_the_attributes_that_chimerax_and_deepfinder_read(truth, written):
    sets = ET.parse(written["cmm"]).getroot()
    assert [one.get("name") for one in sets] == [one.name for one in truth.classes]
    assert sum(map(len, sets)) == len(truth)
    for number, one in enumerate(sets, start=1):
        places = [[float(marker.get(k)) for k in "xyz"] for marker in one]
        np.testing.assert_allclose(places, of_class(truth, number) * SIZE, atol=1e-2)
    objects = ET.parse(written["deepfinder"]).getroot()
    places = [[float(one.get(k)) for k in "xyz"] for one in objects]
    np.testing.assert_allclose(places, truth.xyz, atol=1e-3)
    assert [int(one.get("class_label")) for one in objects] == truth.class_id.tolist()
