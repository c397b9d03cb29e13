"""What `tensorrt` is asked for, which cannot be installed everywhere: a stand-in."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dep.engine.model_file import read_card
from dep.engine.plan_file import read_plan
from dep.engine.runtime.tensorrt_api import TensorRt
from dep.export import ExportError, PlanOptions, export_plan


@pytest.fixture
def model(exported_once):
    return exported_once("fp16")


class Recorder:
    """A TensorRT 10 or 11 that notes what it is asked for: it is not installed."""

    def __init__(self, version, typed_flag):
        self.calls = []
        recorder = self

        class Anything:
            def __init__(self, name):
                self.__dict__["name_"] = name

            def __getattr__(self, attribute):
                def call(*args):
                    recorder.calls.append((attribute, args))
                    if attribute == "build_serialized_network":
                        return b"plan"
                    if attribute == "get_timing_cache":
                        return SimpleNamespace(serialize=lambda: b"measured")
                    if attribute == "set_timing_cache":
                        return args[0] != ("cache", b"of another GPU")
                    if attribute == "create_timing_cache":
                        return ("cache", args[0])
                    if attribute == "get_input":
                        return SimpleNamespace(name="tomogram")
                    return Anything(attribute)

                return call

            def __setattr__(self, attribute, value):
                recorder.calls.append((attribute, value))

        class ILogger:
            Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1)

        flags = {"STRONGLY_TYPED": 1} if typed_flag else {}
        self.module = SimpleNamespace(
            __version__=version,
            ILogger=ILogger,
            IProgressMonitor=object,
            Builder=lambda _logger: Anything("builder"),
            OnnxParser=lambda _network, _logger: SimpleNamespace(parse=lambda _b: True),
            NetworkDefinitionCreationFlag=SimpleNamespace(**flags),
            MemoryPoolType=SimpleNamespace(WORKSPACE="workspace"),
            BuilderFlag=SimpleNamespace(VERSION_COMPATIBLE="version"),
            HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="ampere"),
        )


def test_the_batch_s_range_reaches_tensorrt(model, tmp_path, monkeypatch):
    recorder = Recorder("10.13.3", typed_flag=True)
    api = TensorRt("tensorrt", "10.13.3", recorder.module)
    monkeypatch.setattr("dep.export.plan.load_tensorrt", lambda _name: api)
    monkeypatch.setattr("dep.export.plan.default_timing_cache", lambda *_: None)
    export_plan(model, tmp_path / "m.plan", PlanOptions(batch=(3, 3, 3)))
    assert dict(recorder.calls)["set_shape"] == ("tomogram", *[(3, 1, 16, 16, 16)] * 3)


def test_what_tensorrt_measures_is_kept_for_each_version_and_gpu(
    model, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("DEP_CACHE", str(tmp_path / "cache"))
    recorder = Recorder("10.13.3", typed_flag=True)
    api = TensorRt("tensorrt", "10.13.3", recorder.module)
    gpu = SimpleNamespace(name="NVIDIA L4 (24 GB)", capability="8.9")
    monkeypatch.setattr("dep.export.plan.load_tensorrt", lambda _name: api)
    monkeypatch.setattr("dep.export.plan._device", lambda: gpu)
    _, origin = export_plan(model, tmp_path / "m.plan")
    (kept,) = (tmp_path / "cache" / "timing").iterdir()
    assert kept.name == "tensorrt-10.13.3-NVIDIA-L4-24-GB-.cache"
    assert kept.read_bytes() == b"measured"
    assert (origin.gpu, origin.compute_capabilities) == ("NVIDIA L4 (24 GB)", ("8.9",))
    # Where it cannot be read or kept, the plan is there all the same.
    kept.unlink()
    kept.mkdir()
    export_plan(model, tmp_path / "l.plan")
    assert "timing cache cannot be read" in caplog.text
    assert read_plan(tmp_path / "l.plan")
    kept.rmdir()
    kept.parent.rmdir()
    kept.parent.write_text("")
    monkeypatch.setattr(Path, "read_bytes", _missing_below(kept.parent))
    export_plan(model, tmp_path / "n.plan")
    assert read_plan(tmp_path / "n.plan")


def _missing_below(folder):
    read_bytes = Path.read_bytes

    def read(path):
        if path.parent == folder:
            raise FileNotFoundError(path)
        return read_bytes(path)

    return read


@pytest.mark.parametrize(("version", "flagged"), [("10.13.3", True), ("11.0.0", False)])
def test_tensorrt_10_and_11_are_asked_alike(
    model, tmp_path, monkeypatch, version, flagged
):
    recorder = Recorder(version, flagged)
    api = TensorRt("tensorrt", version, recorder.module)
    monkeypatch.setattr("dep.export.plan.load_tensorrt", lambda _name: api)
    kept = tmp_path / "timing.cache"
    kept.write_bytes(b"of another GPU")
    options = PlanOptions(
        builder="tensorrt",
        workspace=64,
        version_compatible=True,
        hardware_compatible=True,
        timing_cache=kept,
    )
    _, origin = export_plan(model, tmp_path / "m.plan", options)
    asked = dict(recorder.calls)
    assert asked["create_network"] == (2 if flagged else 0,)
    assert asked["set_memory_pool_limit"] == ("workspace", 64 << 20)
    assert asked["set_flag"] == ("version",)
    assert asked["hardware_compatibility_level"] == "ampere"
    edge = read_card(model).tile
    assert asked["set_shape"] == (
        "tomogram",
        *[(batch, 1, edge, edge, edge) for batch in (1, 4, 8)],
    )
    assert asked["set_timing_cache"] == (("cache", b""), False)  # the other was refused
    assert kept.read_bytes() == b"measured"
    assert (tmp_path / "m.plan").read_bytes() == b"plan"
    assert "--version-compatible --hardware-compatible" in origin.command
    document = json.loads((tmp_path / "m.plan.json").read_text())
    assert document["built"]["version"] == version
    with pytest.raises(ExportError, match="for the GPU of this machine"):
        export_plan(
            model, tmp_path / "m.plan", PlanOptions(compute_capabilities=("8.6",))
        )
