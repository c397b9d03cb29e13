"""`dep doctor` tells what works; the probe is what it says it is."""

import numpy as np
import pytest

from dep.cli import health, probe


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


def test_the_report_reads_well(dep):
    out = dep("doctor").out
    for words in ("compiled kernels", "openvino", "onnxruntime", "CPU", "GPU"):
        assert words in out


def test_a_machine_without_runtimes_cannot_pick(dep, monkeypatch):
    broken = health.Check("openvino", False, "not installed")
    monkeypatch.setattr(health, "try_runtimes", lambda: (broken,))
    outcome = dep("doctor")
    assert outcome.status == 1
    assert "cannot pick" in outcome.out
    assert "pip install 'dep[cpu]'" in outcome.out


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
