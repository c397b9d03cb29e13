"""`dep export -o MODEL.plan`, built for real by TensorRT-RTX, which needs no GPU."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
import torch

from dep.engine.errors import DeviceError
from dep.engine.model_file import read_card
from dep.engine.plan_file import read_plan, sha256
from dep.train.network import NetworkConfig, ResUNet3D

pytest.importorskip("tensorrt_rtx")

TOLD = ("--classes", "a:100,b:120", "--voxel-size", "10", "--contrast", "bright")
SMALL = ("--tile", "16", "--margin", "4", "--t-seg", "0.6")
RTX = ("--with", "tensorrt_rtx")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the published format."""
    path = tmp_path_factory.mktemp("published") / "two classes.ckpt"
    torch.manual_seed(0)
    network = ResUNet3D(NetworkConfig(3, (4, 8)))
    network(torch.randn(4, 1, 16, 16, 16))  # gives the norms statistics
    with torch.no_grad():
        network.final_conv.bias[0] = 9.0  # nothing is picked in noise
    torch.save({"state_dict": network.state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def model(checkpoint):
    """The model file that it becomes."""
    from typer.testing import CliRunner

    from dep.cli.main import app

    path = checkpoint.with_name("m.onnx")
    words = ["export", str(checkpoint), "-o", str(path), *TOLD, *SMALL]
    assert CliRunner().invoke(app, words).exit_code == 0
    return path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_published_checkpoint_becomes_a_plan_that_says_what_it_is(
    dep, checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(checkpoint, tmp_path)
    words = (*TOLD, *SMALL, *RTX, "--precision", "fp16", "--batch", "2,3,4")
    outcome = dep("export", checkpoint.name, "-o", "m.plan", *words,
                  "--keep-onnx", "kept.onnx", "--compute-capability", "8.6,8.9",
                  "--json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert files(tmp_path) == ["kept.onnx", "m.plan", "m.plan.json", checkpoint.name]
    card, origin = read_plan(tmp_path / "m.plan")
    assert outcome.json["card"] == card.to_dict()
    assert card == read_card(tmp_path / "kept.onnx")
    assert (card.precision, card.t_seg, card.contrast) == ("fp16", 0.6, "bright")
    assert outcome.json["built"]["onnx_sha256"] == sha256(tmp_path / "kept.onnx")
    assert outcome.json["comparison"]["between"] == ["the network", "the file"]
    assert outcome.json["check"] is None
    assert origin.compute_capabilities == ("8.6", "8.9")
    first = json.loads(outcome.err.splitlines()[0])
    assert first["name"].startswith("TensorRT: ")

    facts = dep("info", "m.plan", "--json").json
    assert facts["kind"] == "model"
    assert facts["precision"] == "fp16"
    assert facts["built"] == outcome.json["built"]
    shown = dep("info", "m.plan").out
    for said in (
        *("2 to 4, best 3", "8.6, 8.9", "kept.onnx", origin.version, origin.command),
        "not known, or no GPU",
    ):
        assert said in shown

    # The command that it records makes the same plan of the checkpoint again.
    program, *again = shlex.split(origin.command)
    assert program == "dep"
    (tmp_path / "m.plan").unlink()
    (tmp_path / "kept.onnx").unlink()
    outcome = dep(*again)
    assert outcome.status == 0, outcome.err
    assert "built and not run here" in outcome.out
    card2, origin2 = read_plan(tmp_path / "m.plan")
    assert card2 == card
    assert origin2.onnx_sha256 == origin.onnx_sha256
    assert origin2.command == origin.command


def test_a_model_file_becomes_a_plan_without_torch(tiny_model, tmp_path):
    """In a process of its own, where importing torch or onnx is an error."""
    model = shutil.copy(tiny_model, tmp_path / "balls.onnx")
    code = (
        "import sys; sys.modules.update(torch=None, onnx=None);"
        "from dep.cli.main import app; app()"
    )
    words = [sys.executable, "-c", code, "export", model, "-o", tmp_path / "m.plan"]
    done = subprocess.run(
        [*map(str, words), *RTX, "--batch", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "compared" not in done.stdout
    assert "built and not run here" in done.stdout
    card, origin = read_plan(tmp_path / "m.plan")
    assert card == read_card(model)
    assert origin.batch == (2, 2, 2)
    assert origin.command == shlex.join(
        [
            *("dep", "export", str(model), "-o", str(tmp_path / "m.plan"), *RTX),
            *("--batch", "2,2,2", "--overwrite"),
        ]
    )


def test_another_precision_is_made_of_the_model_file_first(dep, model, tmp_path):
    out = tmp_path / "m.plan"
    outcome = dep("export", model, "-o", out, *RTX, "--precision", "bf16", "--json")
    assert outcome.status == 0, outcome.err
    assert read_plan(out)[0].precision == "bf16"
    assert outcome.json["comparison"]["agreement"] >= 0.99
    assert "m.onnx --precision bf16 -o" in read_plan(out)[1].command
    outcome = dep("export", model, "-o", out, *RTX, "--t-seg", "0.7", "--overwrite")
    assert outcome.status == 0, outcome.err
    card = read_plan(out)[0]
    assert (card.t_seg, card.precision) == (0.7, "fp32")


def test_8_bits_are_calibrated_on_the_way(dep, checkpoint, root, tmp_path):
    out, kept = tmp_path / "m.plan", tmp_path / "m8.onnx"
    sample = root / "docs" / "sample" / "sample.mrc"
    words = (*TOLD, *SMALL, *RTX, "--precision", "int8", "--keep-onnx", kept)
    outcome = dep("export", checkpoint, "-o", out, *words, "--calibrate", sample)
    assert outcome.status == 0, outcome.err
    card, origin = read_plan(out)
    assert card.precision == "int8"
    assert f"--calibrate {sample}" in origin.command
    kinds = {node.op_type for node in onnx.load(kept).graph.node}
    assert "QuantizeLinear" in kinds
    # Of the file that was kept it is built again as it is; nothing else can be made.
    assert dep("export", kept, "-o", out, *RTX, "--overwrite").status == 0
    assert read_plan(out)[1].onnx_sha256 == sha256(kept)
    outcome = dep("export", kept, "-o", tmp_path / "n.plan", "--precision", "fp16")
    assert outcome.status == 2
    assert "8 bits" in outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--batch", "4,2,8"), "1 <= MIN <= BEST"),
        (("--batch", "two"), "found 'two'"),
        (("--batch", "0"), "found '0'"),
        (("--with", "tensorflow"), "expected auto, tensorrt"),
        (("--hardware-compatible",), "name those instead"),
        (("--version-compatible",), "after an upgrade"),
        (("--timing-cache", "t.cache"), "measures nothing"),
        (("--workspace", str(10**20)), "1 to 1048576 MiB"),
        (("--batch", f"1,4,{10**13}"), "1 to 64"),
        (("--workspace", "0"), "1 to 1048576 MiB"),
        (("--compute-capability", "1.0"), "7.5, 8.0"),
        (("--half-weights",), "for .onnx files only"),
        (("--keep-onnx", "k.onnx"), "stays as it is"),
        (("--check-on", "t.mrc"), "add --check"),
        (("--precision", "int4"), "expected one of fp32"),
        (("--precision", "int8"), "go together"),
        (("--calibrate", "t.mrc"), "go together"),
    ],
)
def test_words_that_cannot_be_carried_out(dep, tiny_model, tmp_path, words, said):
    with_rtx = () if "--with" in words else RTX
    out = tmp_path / "m.plan"
    outcome = dep("export", tiny_model, "-o", out, *with_rtx, *words)
    assert outcome.status == 2
    assert said in outcome.err
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--batch", "4"), "for plans only: --batch"),
        (RTX, "for plans only: --with"),
        (("--workspace", "9", "--version-compatible"), "--workspace, --version-comp"),
        (("--compute-capability", "8.6"), "--compute-capability"),
        (("--keep-onnx", "k.onnx"), "--keep-onnx"),
        (("--check",), "always compared"),
    ],
)
def test_what_is_for_plans_is_refused_for_onnx(dep, tiny_model, tmp_path, words, said):
    outcome = dep("export", tiny_model, "-o", tmp_path / "m.onnx", *words)
    assert outcome.status == 2
    assert said in outcome.err
    assert files(tmp_path) == []


def test_a_source_keeps_its_name_to_itself(dep, checkpoint, tiny_model, tmp_path):
    model = shutil.copy(tiny_model, tmp_path / "m.onnx")
    outcome = dep("export", model, "-o", tmp_path / "m.plan", *RTX, "--precision",
                  "fp16", "--keep-onnx", model, "--overwrite")  # fmt: skip
    assert outcome.status == 2
    assert "name another" in outcome.err
    outcome = dep("export", checkpoint, "-o", tmp_path / "m.plan", *TOLD, "--keep-onnx",
                  tmp_path / "k.ckpt")  # fmt: skip
    assert outcome.status == 2
    assert "ends in .onnx" in outcome.err


def test_nothing_is_replaced_unasked(dep, tiny_model, tmp_path):
    out = tmp_path / "m.plan"
    assert dep("export", tiny_model, "-o", out, *RTX).status == 0
    before = out.read_bytes(), read_plan(out)[1]
    outcome = dep("export", tiny_model, "-o", out, *RTX, "--batch", "2")
    assert outcome.status == 2
    assert "--overwrite" in outcome.err
    assert (out.read_bytes(), read_plan(out)[1]) == before
    assert dep(
        "export", tiny_model, "-o", out, *RTX, "--batch", "2", "--overwrite"
    ).status == 0  # fmt: skip
    assert read_plan(out)[1].batch == (2, 2, 2)
    out.unlink()  # what is left might be anybody's
    outcome = dep("export", tiny_model, "-o", out, *RTX)
    assert outcome.status == 2
    assert "m.plan.json exists already" in outcome.err


def test_a_failed_build_leaves_nothing(dep, tiny_model, tmp_path):
    model = onnx.load(str(tiny_model))
    model.graph.node[0].op_type = "Frobnicate"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    outcome = dep("export", tmp_path / "odd.onnx", "-o", tmp_path / "m.plan", *RTX)
    assert outcome.status == 1
    assert "does not parse it" in outcome.err
    assert files(tmp_path) == ["odd.onnx"]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_build_leaves_nothing(tmp_path, tiny_model, sign):
    """Stopped while TensorRT builds, in the middle of its own code."""
    code = (
        "import time, dep.export.build as build\n"
        "monitor = build._monitor\n"
        "def slow(trt, progress):\n"
        "    def tell(phase, done, total):\n"
        "        print('building', flush=True)\n"
        "        time.sleep(0.2)\n"
        "    return monitor(trt, tell)\n"
        "build._monitor = slow\n"
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from dep.cli.main import app\n"
        "app()\n"
    )
    words = ["export", str(tiny_model), "-o", str(tmp_path / "m.plan"), *RTX]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + sign
    assert "stopped" in err
    assert "Traceback" not in err
    assert time.monotonic() - began < 30
    assert files(tmp_path) == []


def test_check_without_a_gpu_fails_before_the_build(
    dep, tiny_model, tmp_path, monkeypatch
):
    def none():
        message = "there is no GPU"
        raise DeviceError(message)

    monkeypatch.setattr("dep.engine.runtime.gpu_choice.find_gpu", none)
    monkeypatch.setattr("dep.export.plan.build", lambda *_: pytest.fail("was built"))
    out = tmp_path / "m.plan"
    outcome = dep("export", tiny_model, "-o", out, *RTX, "--check")
    assert outcome.status == 1
    assert "there is no GPU" in outcome.err
    assert "Leave out --check" in outcome.err
    assert files(tmp_path) == []


class PlanOnCpu:
    """Stands in for the plan on a GPU: ONNX Runtime, with its scores shifted."""

    def __init__(self, model, card, shift):
        from dep.export.verify import cpu_runtime

        self._runtime, self._shift = cpu_runtime(model, card), shift

    def infer(self, tiles):
        return np.roll(self._runtime.infer(tiles), self._shift, axis=4)

    def close(self):
        self._runtime.close()


@pytest.mark.parametrize("shift", [0, 3])
def test_check_compares_the_picks(
    dep, tiny_model, tomogram, tmp_path, monkeypatch, shift
):
    seen = []

    def opened(plan, card, *, device):
        seen.append((read_plan(plan)[0] == card, device))
        return PlanOnCpu(tiny_model, card, shift)

    monkeypatch.setattr("dep.engine.runtime.gpu_choice.find_gpu", lambda: None)
    monkeypatch.setattr("dep.export.check.open_runtime", opened)
    out = tmp_path / "m.plan"
    words = (*RTX, "--check", "--check-on", tomogram)
    outcome = dep("export", tiny_model, "-o", out, *words)
    assert seen == [(True, "cuda")]
    # Written by hand, it holds no network of ours to compare with in torch.
    assert "without torch" in outcome.err
    if shift:
        assert outcome.status == 1
        assert "m.plan: not written, it does not agree" in outcome.err
        assert files(tmp_path) == [tomogram.name]
    else:
        assert outcome.status == 0, outcome.err
        assert "by the ONNX file" in outcome.out
        assert "by the plan, F1 agreement 1.0000" in outcome.out
        assert "not run here" not in outcome.out
        assert files(tmp_path) == [tomogram.name, "m.plan", "m.plan.json"]


def test_check_has_torch_where_the_network_is_known(dep, model, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.engine.runtime.gpu_choice.find_gpu", lambda: None)
    monkeypatch.setattr(
        "dep.export.check.open_runtime", lambda _, card, **__: PlanOnCpu(model, card, 0)
    )
    out = tmp_path / "m.plan"
    outcome = dep("export", model, "-o", out, *RTX, "--check", "--json")
    assert outcome.status == 0, outcome.err
    assert [one["between"] for one in outcome.json["check"]] == [
        ["torch", "the ONNX file"],
        ["torch", "the plan"],
        ["the ONNX file", "the plan"],
    ]


def test_without_any_tensorrt(dep, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr("dep.engine.runtime.tensorrt_api.find_spec", lambda _name: None)
    outcome = dep("export", tiny_model, "-o", tmp_path / "m.plan")
    assert outcome.status == 1
    assert "pip install 'dep[gpu]'" in outcome.err


def test_a_plan_is_nothing_to_begin_from(dep, tmp_path):
    outcome = dep("export", tmp_path / "m.plan", "-o", tmp_path / "x.onnx")
    assert outcome.status == 2
    assert "a plan cannot be turned back" in outcome.err
