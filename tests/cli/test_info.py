"""`dep info` tells models, tomograms and picks apart, and what each holds."""

import gzip

import pytest


def test_a_model_shows_its_card(dep, tiny_model):
    card = dep("info", tiny_model, "--json").json
    assert card["kind"] == "model"
    assert card["tile"] == 24
    assert [one["name"] for one in card["classes"]] == ["dark", "bright"]
    assert "dark" in dep("info", tiny_model).out


def test_a_tomogram_shows_header_and_statistics(dep, tomogram):
    facts = dep("info", tomogram, "--json").json
    assert facts["kind"] == "tomogram"
    assert facts["size_xyz"] == [44, 40, 32]
    assert facts["voxel_size"] == pytest.approx(10)
    assert facts["mean"] == pytest.approx(0, abs=0.5)
    assert "44 x 40 x 32" in dep("info", tomogram).out


def test_a_compressed_tomogram_is_unpacked(dep, tomogram):
    packed = tomogram.with_suffix(".mrc.gz")
    packed.write_bytes(gzip.compress(tomogram.read_bytes()))
    facts = dep("info", packed, "--json").json
    assert facts["compression"] == "gzip"


def test_a_header_without_a_voxel_size_is_said(dep, make_tomogram, tmp_path):
    make_tomogram(tmp_path / "a.mrc", voxel_size=0.0)
    outcome = dep("info", tmp_path / "a.mrc")
    assert outcome.status == 0
    assert "--voxel-size" in outcome.out


def test_picks_are_counted_by_class(dep, root):
    facts = dep("info", root / "docs/sample/sample.csv", "--json").json
    assert facts["kind"] == "picks"
    assert facts["picks"] == 93
    assert facts["classes"]["5mrc"] == 9


@pytest.mark.parametrize("name", ["a.onnx", "a.mrc", "a.csv"])
def test_a_missing_file_is_an_error_without_traceback(dep, tmp_path, name):
    outcome = dep("info", tmp_path / name)
    assert outcome.status == 1
    assert name in outcome.err
    assert "Traceback" not in outcome.err


def test_debugging_keeps_the_traceback(dep, monkeypatch):
    from dep.engine.errors import DepError

    monkeypatch.setenv("DEP_DEBUG", "1")
    with pytest.raises(DepError):
        dep("info", "none.mrc")


def plan_of(model, folder, **origin):
    """Write what stands for a plan, and the document beside it."""
    from dep.engine.model_file import read_card
    from dep.engine.plan_file import PlanOrigin, plan_document

    plan = folder / "m.plan"
    plan.write_bytes(b"a plan")
    told = {
        "builder": "tensorrt",
        "version": "10.13.3",
        "batch": (1, 4, 8),
        "onnx": "balls.onnx",
        "onnx_sha256": "ab" * 32,
        "command": "dep export 'my balls.onnx' -o m.plan --with tensorrt",
        **origin,
    }
    document = plan_document(plan, read_card(model), PlanOrigin(**told))
    (folder / "m.plan.json").write_text(document)
    return plan


def test_a_plan_shows_its_card_and_what_it_needs(dep, tiny_model, tmp_path):
    plan = plan_of(
        tiny_model,
        tmp_path,
        gpu="NVIDIA L4",
        compute_capabilities=("8.9",),
        version_compatible=True,
        hardware_compatible=True,
    )
    shown = " ".join(dep("info", plan).out.split())
    for said in (
        "tile 24",
        "built by tensorrt 10.13.3 runs with tensorrt 10.13.3 or newer",
        "tiles at once 1 to 8, best 4",
        "compute capability 8.9, and others from 8.0 on",
        "built on NVIDIA L4",
        f"built of balls.onnx (SHA-256 {'ab' * 32})",
        "build again dep export 'my balls.onnx' -o m.plan --with tensorrt",
        "dark 60",
    ):
        assert said in shown
    facts = dep("info", plan, "--json").json
    assert facts["tile"] == 24
    assert facts["built"]["gpu"] == "NVIDIA L4"
    assert facts["built"]["batch"] == [1, 4, 8]


def test_a_plan_of_one_batch_for_a_default_of_gpus(dep, tiny_model, tmp_path):
    plan = plan_of(tiny_model, tmp_path, batch=(2, 2, 2), builder="tensorrt_rtx")
    shown = " ".join(dep("info", plan).out.split())
    assert "tiles at once 2 compute capability the default of tensorrt_rtx" in shown
    assert "built on not known, or no GPU" in shown
    assert "newer" not in shown


@pytest.mark.parametrize("fault", ["missing", "another"])
def test_a_plan_without_its_document_is_an_error(dep, tiny_model, tmp_path, fault):
    plan = plan_of(tiny_model, tmp_path)
    if fault == "missing":
        (tmp_path / "m.plan.json").unlink()
    else:
        plan.write_bytes(b"b plan")
    outcome = dep("info", plan)
    assert outcome.status == 1
    assert "m.plan" in outcome.err


def test_a_folder_named_zarr_without_an_image_is_a_tomogram_that_fails(dep, tmp_path):
    folder = tmp_path / "TS_01.zarr"
    folder.mkdir()
    outcome = dep("info", folder)
    assert outcome.status == 1
    assert f"{folder}: no Zarr image here" in outcome.err
