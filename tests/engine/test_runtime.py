"""The fastest runtime that works is taken, and what is missing is said clearly."""

import os
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

from dep.engine import DeviceError, ModelError, SettingError, processor
from dep.engine.model_file import read_card
from dep.engine.plan_file import PlanOrigin, plan_document
from dep.engine.runtime import installed, onnxruntime_api, open_runtime, openvino_cpu
from dep.kernels import available_threads

RUNTIMES = ["openvino", "onnxruntime"]


@pytest.fixture(scope="module")
def card(tiny_model):
    return read_card(tiny_model)


@pytest.fixture
def missing(monkeypatch):
    """Make modules look as if they were not installed."""
    real = __import__("importlib").import_module

    def hide(*names):
        def refuse(name, package=None):
            if name in names:
                message = f"No module named {name!r}"
                raise ModuleNotFoundError(message, name=name)
            return real(name, package)

        monkeypatch.setattr("importlib.import_module", refuse)

    return hide


@pytest.mark.parametrize("name", RUNTIMES)
def test_scores_are_those_of_the_network(tiny_model, card, name):
    pytest.importorskip(name)
    from onnx.reference import ReferenceEvaluator

    tiles = np.random.default_rng(0).normal(size=(3, 1, 24, 24, 24)).astype("f4")
    (expected,) = ReferenceEvaluator(str(tiny_model)).run(None, {"tomogram": tiles})
    runtime = open_runtime(tiny_model, card, runtime=name, batch=3)
    np.testing.assert_allclose(runtime.infer(tiles), expected, atol=1e-5)
    np.testing.assert_allclose(runtime.infer(tiles[1:2]), expected[1:2], atol=1e-5)
    runtime.close()
    runtime.close()
    with pytest.raises(DeviceError, match="closed"):
        runtime.infer(tiles)


@pytest.mark.parametrize("name", RUNTIMES)
def test_scores_stay_valid_while_the_next_are_computed(tiny_model, card, name):
    pytest.importorskip(name)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 1, 1, 24, 24, 24)).astype("f4")
    runtime = open_runtime(tiny_model, card, runtime=name)
    scores = runtime.infer(first)
    kept = scores.copy()
    runtime.infer(second)
    np.testing.assert_array_equal(scores, kept)


def test_auto_takes_openvino_and_all_cores_in_float32(tiny_model, card):
    pytest.importorskip("openvino")
    runtime = open_runtime(tiny_model, card)
    assert runtime.name.startswith("openvino 2")
    assert (runtime.device, runtime.precision, runtime.batch) == ("cpu", "f32", 1)
    assert runtime.threads == available_threads()
    model = runtime._model  # what OpenVINO itself says it does
    assert model.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert model.get_property("INFERENCE_NUM_THREADS") == runtime.threads
    limited = open_runtime(tiny_model, card, threads=1)
    assert limited._model.get_property("INFERENCE_NUM_THREADS") == 1


def test_auto_without_openvino_takes_onnx_runtime(tiny_model, card, missing):
    pytest.importorskip("onnxruntime")
    missing("openvino")
    assert open_runtime(tiny_model, card).name.startswith("onnxruntime 1")
    with pytest.raises(DeviceError, match=r"openvino is not installed: pip install"):
        open_runtime(tiny_model, card, runtime="openvino")


def test_auto_passes_over_what_is_broken(tiny_model, card, monkeypatch):
    pytest.importorskip("onnxruntime")

    def broken():
        message = "OpenVINO is installed but broken"
        raise DeviceError(message)

    monkeypatch.setattr(openvino_cpu, "_import", broken)
    assert open_runtime(tiny_model, card).name.startswith("onnxruntime 1")
    with pytest.raises(DeviceError, match="installed but broken"):
        open_runtime(tiny_model, card, runtime="openvino")


def test_nothing_is_installed(tiny_model, card, missing):
    missing("openvino", "onnxruntime")
    with pytest.raises(DeviceError, match=r"nothing here can compute .*\[cpu\]"):
        open_runtime(tiny_model, card)
    with pytest.raises(DeviceError, match="onnxruntime is not installed"):
        open_runtime(tiny_model, card, runtime="onnxruntime")
    assert [one.problem for one in installed()] == ["not installed"] * 2


def test_both_kinds_of_onnx_runtime_are_installed(tiny_model, card, monkeypatch):
    pytest.importorskip("onnxruntime")
    real = metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version",
        lambda name: "1.0" if name == "onnxruntime-gpu" else real(name),
    )
    with pytest.raises(DeviceError, match=r"both installed.*uninstall both"):
        open_runtime(tiny_model, card, runtime="onnxruntime")


def test_an_import_that_fails_inside_is_not_taken_for_missing(
    tiny_model, card, monkeypatch
):
    def broken(name, _package=None):
        message = f"{name}: libsomething.so is missing"
        raise ImportError(message)

    monkeypatch.setattr("importlib.import_module", broken)
    for name in RUNTIMES:
        with pytest.raises(DeviceError, match=r"installed but broken \(.*libsomething"):
            open_runtime(tiny_model, card, runtime=name)


class TestBfloat16:
    def test_where_the_chip_has_it(self, tiny_model, card):
        pytest.importorskip("openvino")
        if not openvino_cpu.has_bf16():
            pytest.skip("this processor has no bfloat16 instructions")
        exact = open_runtime(tiny_model, card)
        fast = open_runtime(tiny_model, card, precision="bf16")
        assert fast.precision == "bf16"
        hint = fast._model.get_property("INFERENCE_PRECISION_HINT").to_string()
        assert hint == "bf16"
        tiles = np.random.default_rng(0).normal(size=(1, 1, 24, 24, 24)).astype("f4")
        np.testing.assert_allclose(fast.infer(tiles), exact.infer(tiles), atol=0.05)

    def test_where_the_chip_has_not(self, tiny_model, card, monkeypatch, tmp_path):
        pytest.importorskip("openvino")
        (tmp_path / "cpuinfo").write_text("processor: 0\nflags : fpu avx2 avx512f\n")
        monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
        with pytest.raises(
            DeviceError, match=r"bf16: this processor .*--precision f32"
        ):
            open_runtime(tiny_model, card, precision="bf16")
        assert next(iter(installed())).precisions == ("f32",)

    def test_onnx_runtime_has_none_on_the_processor(self, tiny_model, card):
        with pytest.raises(DeviceError, match="ONNX Runtime computes float32"):
            open_runtime(tiny_model, card, runtime="onnxruntime", precision="bf16")


@pytest.fixture
def plan(card, tmp_path):
    """A plan as far as the card goes."""
    path = tmp_path / "m.plan"
    path.write_bytes(b"plan")
    origin = PlanOrigin(
        builder="tensorrt",
        version="10.13.3",
        batch=(1, 4, 8),
        onnx="m.onnx",
        onnx_sha256="0" * 64,
        command="dep export m.onnx -o m.plan",
    )
    (tmp_path / "m.plan.json").write_text(plan_document(path, card, origin))
    return path


class TestWithoutAGpu:
    """What is asked for by name is never replaced by another."""

    @pytest.fixture(autouse=True)
    def _no_gpu(self, monkeypatch):
        def find(_extra="gpu"):
            message = "no CUDA device can be used"
            raise DeviceError(message)

        monkeypatch.setattr("dep.engine.runtime.gpu_choice.find_gpu", find)

    @pytest.mark.parametrize("runtime", ["auto", "onnxruntime"])
    def test_cuda_is_refused(self, tiny_model, card, runtime):
        with pytest.raises(
            DeviceError, match=r"onnx: needs an NVIDIA GPU that works: no CUDA device"
        ):
            open_runtime(tiny_model, card, device="cuda", runtime=runtime)

    @pytest.mark.parametrize("device", ["auto", "cuda"])
    def test_a_plan_is_refused(self, plan, device):
        with pytest.raises(DeviceError, match=r"m\.plan: needs an NVIDIA GPU"):
            open_runtime(plan, read_card(plan), device=device)

    def test_auto_takes_the_processor(self, tiny_model, card):
        assert open_runtime(tiny_model, card).device == "cpu"


def test_without_cupy_it_is_said_what_to_install(tiny_model, card, monkeypatch):
    choice = "dep.engine.runtime.gpu_choice"
    monkeypatch.setattr(f"{choice}.has_driver", lambda: True)
    for there, words in (
        ((), r"CuPy is not installed: pip install 'dep\[gpu\]'"),
        (("onnxruntime",), r"pip uninstall onnxruntime, then pip install 'dep\[gpu"),
    ):
        monkeypatch.setattr(
            f"{choice}.find_spec", lambda name, there=there: name in there or None
        )
        with pytest.raises(DeviceError, match=words):
            open_runtime(tiny_model, card, device="cuda")


def test_a_plan_for_rtx_cards_needs_their_extra(plan, monkeypatch):
    beside = plan.with_name("m.plan.json")
    beside.write_text(beside.read_text().replace('"tensorrt"', '"tensorrt_rtx"'))
    choice = "dep.engine.runtime.gpu_choice"
    monkeypatch.setattr(f"{choice}.has_driver", lambda: True)
    monkeypatch.setattr(f"{choice}.find_spec", lambda _name: None)
    with pytest.raises(DeviceError, match=r"dep\[gpu-rtx\]"):
        open_runtime(plan, read_card(plan))


def test_without_a_driver_nothing_is_to_be_installed(tiny_model, card, monkeypatch):
    monkeypatch.setattr("dep.engine.runtime.gpu_choice.has_driver", lambda: False)
    with pytest.raises(DeviceError, match="there is no NVIDIA driver on this machine"):
        open_runtime(tiny_model, card, device="cuda")


def test_words_that_contradict_each_other(tiny_model, card, plan):
    for path, error, words, options in (
        (plan, DeviceError, "leave out --device cpu", {"device": "cpu"}),
        (plan, SettingError, "openvino does not read it", {"runtime": "openvino"}),
        (tiny_model, SettingError, r"dep export .*plan", {"runtime": "tensorrt"}),
        (
            tiny_model,
            SettingError,
            "openvino computes on the processor",
            {"runtime": "openvino", "device": "cuda"},
        ),
    ):
        with pytest.raises(error, match=f"(?i){words}"):
            open_runtime(path, card, **options)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"device": "gpu"}, "device: expected one of auto, cpu, cuda, found 'gpu'"),
        ({"precision": "fp32"}, "precision: expected one of auto, f32, bf16"),
        ({"runtime": "tensorflow"}, "runtime: expected one of"),
        ({"threads": 0}, "threads: expected a whole number, 1 or more, found 0"),
        ({"batch": -1}, "batch: expected"),
        ({"gpu_memory": 0}, "gpu_memory: expected a whole number, 1 or more, found 0"),
    ],
)
def test_unknown_words(tiny_model, card, wrong, words):
    with pytest.raises(SettingError, match=words):
        open_runtime(tiny_model, card, **wrong)


@pytest.mark.parametrize("name", RUNTIMES)
class TestModels:
    def test_that_differ_from_their_card(self, make_model, tmp_path, name):
        pytest.importorskip(name)
        path = make_model(tmp_path / "m.onnx", activation="sigmoid")
        with pytest.raises(
            ModelError,
            match=r"not what its card says:\n.*'scores': expected any x 2 x 24",
        ):
            open_runtime(path, read_card(path), runtime=name)

    def test_with_other_names_and_sizes(self, make_model, tmp_path, name):
        pytest.importorskip(name)
        import onnx

        path = make_model(tmp_path / "m.onnx")
        text = onnx.load(str(path)).SerializeToString()
        path.write_bytes(text.replace(b"tomogram", b"volumina"))
        with pytest.raises(
            ModelError, match="expected 'tomogram' alone, found volumina"
        ):
            open_runtime(path, read_card(path), runtime=name)
        other = read_card(make_model(tmp_path / "other.onnx", tile=32))
        path = make_model(tmp_path / "m.onnx")
        with pytest.raises(
            ModelError, match=r"any x 1 x 32 x 32 x 32, found any x 1 x 24"
        ):
            open_runtime(path, other, runtime=name)

    def test_that_are_damaged(self, tiny_model, card, tmp_path, name):
        pytest.importorskip(name)
        path = tmp_path / "m.onnx"
        path.write_bytes(tiny_model.read_bytes()[:200])
        with pytest.raises(
            ModelError, match=r"m\.onnx: .* cannot (open|read) this model"
        ):
            open_runtime(path, card, runtime=name)


def test_what_is_installed_is_reported():
    found = {one.name: one for one in installed()}
    assert list(found) == RUNTIMES
    for one in found.values():
        assert (one.version is None) == bool(one.problem)
        assert one.version is None or "f32" in one.precisions
    assert onnxruntime_api.version() == found["onnxruntime"].version


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ},
    ).stdout.split()


def test_importing_the_engine_imports_nothing_heavy():
    heavy = ["torch", "onnx", "typer", "onnxruntime", "openvino", "cupy", "tensorrt"]
    found = python(
        "import sys, dep.engine\n"
        f"print(*(name for name in {heavy!r} if name in sys.modules))"
    )
    assert found == []


def test_picking_imports_no_torch_and_no_telemetry(tiny_model):
    pytest.importorskip("openvino")
    found = python(
        "import sys\nfrom dep.engine import Picker\n"
        f"Picker({str(tiny_model)!r}).close()\n"
        "print(*(name for name in sys.modules"
        " if name.split('.')[0] in ('torch', 'onnx', 'openvino_telemetry')))"
    )
    assert found == []
