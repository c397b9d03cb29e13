"""`dep doctor` tells what works; the probe is what it says it is."""

import numpy as np
import pytest

from dep.cli import gpu_health, health, probe
from dep.engine import DeviceError

YES, NO = gpu_health.Check("x", True, "seen"), gpu_health.Check("x", False, "why not")


def test_the_report_names_what_works(dep):
    outcome = dep("doctor", "--json")
    report = outcome.json
    assert {check["name"] for check in report["runtimes"]} == {
        "openvino",
        "onnxruntime",
    }
    assert all(check["works"] for check in report["runtimes"])
    assert report["processor"]["threads"] >= 1
    versions = {one["name"]: one["version"] for one in report["packages"]}
    assert versions["numpy"] == np.__version__
    assert outcome.status == (0 if report["can_pick"] else 1)
    assert [check["name"] for check in report["gpu_checks"][:2]] == [
        "GPU kernels",
        "onnxruntime on the GPU",
    ]
    assert [line.split(":")[0] for line in report["choices"]] == [
        ".onnx files",
        ".plan files",
    ]


def test_the_report_reads_well(dep):
    out = dep("doctor").out
    for words in ("compiled kernels", "openvino", "onnxruntime", "CPU", "GPU"):
        assert words in out


def test_extras_keep_their_brackets(dep, monkeypatch):
    advice = "CuPy is not installed: pip install 'dep[gpu]'"
    lacks = gpu_health.Check("GPU kernels", False, advice)
    monkeypatch.setattr(health, "try_gpu", lambda: (lacks, NO, NO))
    assert dep("doctor").out.count("pip install 'dep[gpu]'") >= 3


def test_a_machine_without_runtimes_cannot_pick(dep, monkeypatch):
    broken = health.Check("openvino", False, "not installed")
    monkeypatch.setattr(health, "try_runtimes", lambda: (broken,))
    outcome = dep("doctor")
    assert outcome.status == 1
    assert "cannot pick" in outcome.out
    assert "pip install 'dep[cpu]'" in outcome.out


@pytest.mark.parametrize(
    ("gpu", "fastest", "onnx", "plan"),
    [
        (
            (NO, NO, NO),
            "openvino",
            "openvino on the processor (not the GPU: why",
            "noth",
        ),
        ((NO, NO, NO), None, "nothing (not the GPU: why not", "nothing (why not"),
        ((YES, NO, YES), "openvino", "openvino on the processor (not", "x, which"),
        ((YES, YES, NO), "openvino", "x", "nothing (why not"),
        ((YES, YES, YES, YES), None, "x", "x or x, whichever built them"),
    ],
)
def test_what_would_be_chosen_is_said_with_the_reason(gpu, fastest, onnx, plan):
    lines = gpu_health.choices(gpu, fastest)
    assert lines[0].startswith(f".onnx files: {onnx}")
    assert lines[1].startswith(f".plan files: {plan}")


def test_without_a_gpu_it_is_said_what_lacks(monkeypatch):
    def find(_extra="gpu"):
        message = "CuPy is not installed"
        raise DeviceError(message)

    monkeypatch.setattr("dep.engine.runtime.gpu_choice.find_gpu", find)
    kernels, onnxruntime, *plans = gpu_health.try_gpu()
    assert (kernels.works, kernels.detail) == (False, "CuPy is not installed")
    assert not onnxruntime.works
    assert plans
    assert not any(one.works for one in plans)


def test_a_gpu_that_lacks_packages_is_worth_advice():
    advice = health._advice(health.Processor("chip", 2, 2, ()), (), (), ("RTX",), (NO,))
    assert any("there is a GPU" in one and "dep[gpu]" in one for one in advice)
    advice = health._advice(
        health.Processor("chip", 2, 2, ()), (), (), ("RTX",), (YES,)
    )
    assert any("dep export MODEL.onnx -o MODEL.plan" in one for one in advice)


@pytest.mark.parametrize("runtime", ["openvino", "onnxruntime"])
def test_runtimes_compute_the_probe(runtime):
    assert probe.compute(runtime) > 0


def test_a_wrong_answer_is_noticed(monkeypatch):
    wrong = probe.model_bytes()
    # The last float of the first weight block: channel 1 no longer sums to 27.
    ten = np.float32(10).tobytes()
    at = wrong.index(ten)
    changed = wrong[:at] + np.float32(100).tobytes() + wrong[at + 4 :]
    monkeypatch.setattr(probe, "model_bytes", lambda: changed)
    with pytest.raises(Exception, match="wrong scores"):
        probe.compute("onnxruntime")


def test_the_probe_is_the_network_described():
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(probe.model_bytes())
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Softmax"]
    kernel, bias = map(numpy_helper.to_array, model.graph.initializer)
    assert kernel.shape == (2, 1, 3, 3, 3)
    assert not kernel[0].any()
    assert (kernel[1] == 1).all()
    assert bias.tolist() == [10, 0]


def test_both_onnxruntimes_at_once_are_named():
    cpu = health.Processor("chip", 2, 2, ())
    both = tuple(
        health.Package(name, "1.0", "cpu", "")
        for name in ("onnxruntime", "onnxruntime-gpu")
    )
    advice = health._advice(cpu, both, (), ())
    assert any("break each other" in line for line in advice)
