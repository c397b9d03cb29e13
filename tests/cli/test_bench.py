"""`dep bench` measures one model or two and says so in tables and in JSON."""

import json
import statistics

import pytest

from dep.cli import bench_tables
from dep.engine.bench.compare import Ratio

STAGES = ("open", "statistics", "read", "network", "assemble", "mp_nms", "deduplicate")


@pytest.fixture
def two(dep, tiny_model, tomogram):
    """Measure the tiny model with both runtimes."""
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    words = ("--engine", tiny_model, "--runtime", "openvino", "--rounds", "2")
    more = ("--against-runtime", "onnxruntime", "--against-threads", "1")
    return lambda *others: dep("bench", tomogram, *words, *more, *others)


def test_two_runtimes_are_compared_in_pairs(two):
    outcome = two("--json")
    assert outcome.status == 0
    lines = [json.loads(line) for line in outcome.err.splitlines()]
    assert {line["event"] for line in lines} == {"begin"}
    assert [line["number"] for line in lines] == list(range(1, lines[0]["of"] + 1))
    document = outcome.json
    assert (document["document"], document["version"]) == ("dep bench", 1)
    assert document["rounds"] == 2
    assert document["machine"]["cores"] >= 1
    assert document["tomogram"]["shape_zyx"] == [32, 40, 44]
    assert document["tomogram"]["made_up"] is False
    a, b = document["contenders"]
    assert a["runtime"].startswith("openvino")
    assert b["runtime"].startswith("onnxruntime")
    assert b["threads"] == 1
    for one in (a, b):
        assert one["model"]["name"] == "balls"
        assert one["tiles"]["count"] == 4 * 4 * 3
        assert one["tiles"]["shape_zyx"] == [24, 24, 24]
        assert one["tiles"]["margin"] == 6
        assert one["tiles"]["overhead"] == pytest.approx(48 * 24**3 / (32 * 40 * 44))
        assert one["picks"] == 3
        assert len(one["rounds"]) == 2
        for this in one["rounds"]:
            assert set(this["seconds"]) == {*STAGES, "total"}
            assert 0 < this["seconds"]["network"] <= this["seconds"]["total"]
            assert this["network_alone"] > 0
        medians = one["medians"]
        assert medians["seconds"]["total"] == statistics.median(
            this["seconds"]["total"] for this in one["rounds"]
        )
        assert one["model"]["multiply_adds_per_tile"] == 3 * 27 * 24**3
        assert medians["operations"] == 2 * 3 * 27 * 24**3 * 48
        assert medians["operations_per_second"] == pytest.approx(
            medians["operations"] / medians["alone"]
        )
        assert medians["matmul"] > 1e8
        assert one["cold_start"]["total"] > 0
        assert one["memory"]["source"] in ("picking", "process", "not known")
    ratios = [
        there["seconds"]["total"] / here["seconds"]["total"]
        for here, there in zip(a["rounds"], b["rounds"], strict=True)
    ]
    whole = document["comparison"]["second_by_first"]["whole"]
    assert whole["median"] == pytest.approx(statistics.median(ratios))
    assert (whole["lowest"], whole["highest"]) == (min(ratios), max(ratios))
    agreement = document["comparison"]["agreement"]
    assert agreement["f1"] == 1
    assert agreement["same_class"] == agreement["pairs"] == 3


def test_the_tables_read_well_on_a_narrow_terminal(two, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = two()
    assert outcome.status == 0
    out = outcome.out
    for words in (
        "model A",
        "model B",
        "TS_01: 44 x 40 x 32 voxels of 10 Å",
        "whole / network alone",
        "outside the network",
        "Mvoxel/s",
        "24 x 24 x 24",
        "matrix products",
        "above model open",
        "compile the network",
        "time of B / time of A",
        "3 pairs within 4 voxels (F1 1.000)",
    ):
        assert words in out
    assert "…" not in out  # nothing was cut off
    assert "made-up" not in out


def test_noise_is_called_noise(dep, tiny_model):
    pytest.importorskip("onnxruntime")
    words = ("bench", "--engine", tiny_model, "--shape", "30X20x10", "--rounds", "1")
    outcome = dep(*words, "--json")
    assert outcome.status == 0
    (only,) = outcome.json["contenders"]
    assert outcome.json["tomogram"]["made_up"] is True
    assert outcome.json["tomogram"]["shape_zyx"] == [10, 20, 30]
    assert outcome.json["comparison"] is None
    assert only["tiles"]["owned_voxels"] == 6000
    quiet = dep(*words, "--quiet")
    assert quiet.err == ""
    shown = quiet.out
    assert "made-up noise, 30 x 20 x 10 voxels" in shown
    assert "dep bench TOMOGRAM" in shown
    assert "model A" not in shown


def test_another_voxel_size_needs_a_word(dep, tiny_model, make_tomogram, tmp_path):
    path = tmp_path / "t.mrc"
    make_tomogram(path, voxel_size=14.0)
    words = ("bench", path, "--engine", tiny_model, "--rounds", "1", "--quiet")
    refused = dep(*words)
    assert refused.status == 1
    assert "--ignore-voxel-size" in refused.err
    taken = dep(*words, "--ignore-voxel-size")
    assert taken.status == 0
    assert "picked at voxels of 14 Å" in taken.out
    assert dep(*words, "--rescale", "--json").json["tomogram"]["rescaled"] is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shape", "64x64"], "--shape: expected"),
        (["--shape", "64x64x0"], "--shape: expected"),
        (["--shape", "64x-64x64"], "--shape: expected"),
        (["none.mrc"], "none.mrc: no such file"),
        (["."], "is a folder"),
        (["TOMOGRAM", "--shape", "8x8x8"], "leave it out"),
        (["TOMOGRAM", "--rescale", "--ignore-voxel-size"], "exclude each other"),
        (["--rescale"], "need a TOMOGRAM"),
        (["--engine", "none.onnx"], "none.onnx: no such model file"),
        (["--against", "none.onnx"], "none.onnx: no such model file"),
        (["--runtime", "abacus"], "runtime: expected one of"),
        (["--against-precision", "f8"], "precision: expected one of"),
        (["--rounds", "0"], ""),
        (["--against-threads", "0"], ""),
    ],
)
def test_wrong_use_begins_nothing(dep, tiny_model, tomogram, words, said):
    given = [tomogram if word == "TOMOGRAM" else word for word in words]
    if "--engine" not in words:
        given += ["--engine", tiny_model]
    outcome = dep("bench", *given)
    assert outcome.status == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("ratio", "rounds", "said"),
    [
        (Ratio(0.5, 0.4, 0.6), 3, "B is 2.00 times as fast as A"),
        (Ratio(4.0, 3.0, 5.0), 2, "A is 4.00 times as fast as B"),
        (Ratio(0.9, 0.8, 1.1), 3, "neither was faster in every round"),
        (Ratio(0.5, 0.5, 0.5), 1, "--rounds 3"),
    ],
)
def test_a_verdict_needs_rounds_that_agree(ratio, rounds, said):
    assert said in bench_tables._verdict(ratio, rounds)
