"""A plan without what belongs to it is refused, and it is said which command helps."""

import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest

from dep.engine import CardError, DeviceError, ModelCard, ModelError, Picker
from dep.engine.model_file import read_card
from dep.engine.plan_file import PlanOrigin, check_plan, plan_document, read_plan
from dep.engine.runtime.tensorrt_api import TensorRt, load_tensorrt

ORIGIN = PlanOrigin(
    builder="tensorrt",
    version="10.13.3",
    batch=(1, 4, 8),
    compute_capabilities=("9.0",),
    gpu="NVIDIA H100 80GB HBM3",
    onnx="balls.onnx",
    onnx_sha256="0" * 64,
    command="dep export balls.onnx -o model.plan --with tensorrt --batch 1,4,8",
)


@pytest.fixture
def plan(tmp_path, tiny_model):
    path = tmp_path / "model.plan"
    path.write_bytes(b"a plan of TensorRT's")
    card = read_card(tiny_model)
    (tmp_path / "model.plan.json").write_text(plan_document(path, card, ORIGIN))
    return path


def change(plan, **entries):
    beside = plan.with_name("model.plan.json")
    document = json.loads(beside.read_text()) | entries
    beside.write_text(json.dumps(document))


def test_card_and_origin_lie_beside_it(plan, tiny_model):
    assert read_card(plan) == read_card(tiny_model)
    assert read_plan(plan) == (read_card(tiny_model), ORIGIN)


def test_another_plan_is_refused(plan):
    plan.write_bytes(b"another plan, and longer")
    with pytest.raises(CardError, match=r"not the plan that model\.plan\.json"):
        read_card(plan)


def test_a_plan_that_is_cut_off_is_called_so(plan):
    plan.write_bytes(plan.read_bytes()[:7])
    words = r"model\.plan: cut off: 7 of 20 bytes.*with: dep export balls\.onnx"
    with pytest.raises(ModelError, match=words):
        read_card(plan)


def test_without_its_card(plan):
    plan.with_name("model.plan.json").unlink()
    with pytest.raises(CardError, match=r"beside the plan as model\.plan\.json"):
        read_card(plan)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"card": 3}', "\xff", "[" * 99999, "1" + "0" * 9999],
    ids=range(7),
)
def test_other_text_beside_it(plan, text):
    plan.with_name("model.plan.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CardError, match=r"model\.plan\.json: "):
        read_card(plan)


def test_faults_name_the_file_beside_it(plan, tiny_model):
    card = read_card(tiny_model).to_dict() | {"contrast": "grey"}
    change(plan, card=card)
    with pytest.raises(CardError, match=r"model\.plan\.json: 1 wrong field:"):
        read_card(plan)


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (None, "no batch, builder, command"),
        ({}, "no batch, builder, command"),
        (asdict(ORIGIN) | {"batch": 3}, "is not a list"),
        (asdict(ORIGIN) | {"batch": [1, 2]}, "is not a list"),
        (asdict(ORIGIN) | {"batch": [0, 1, 2]}, "expected 1 <= 0"),
        (asdict(ORIGIN) | {"batch": [4, 2, 8]}, "expected 1 <= 4 <= 2"),
        (asdict(ORIGIN) | {"compute_capabilities": 8}, "is not a list"),
    ],
)
def test_what_built_it_must_be_said(plan, built, words):
    change(plan, built=built)
    with pytest.raises(CardError, match=words):
        read_plan(plan)


def test_entries_of_newer_versions_do_no_harm(plan):
    change(plan, built=asdict(ORIGIN) | {"colour": "green"})
    assert read_plan(plan)[1] == ORIGIN


def test_document_holds_the_whole_card(tiny_model, tmp_path):
    path = tmp_path / "m.plan"
    path.write_bytes(b"plan")
    card = read_card(tiny_model)
    document = json.loads(plan_document(path, card, ORIGIN))
    assert ModelCard.from_json(json.dumps(document["card"])) == card
    assert document["plan_bytes"] == 4


@pytest.mark.parametrize(
    ("origin", "name", "version", "capability", "words"),
    [
        ({}, "tensorrt_rtx", "1.7", None, "built by tensorrt, here is tensorrt_rtx"),
        ({}, "tensorrt", "10.14.0", None, "10.13.3, here is 10.14.0"),
        ({}, "tensorrt", "10.13.3", "8.6", "capability 9.0, this GPU has 8.6"),
        ({"hardware_compatible": True}, "tensorrt", "10.13.3", "7.5", "GPU has 7.5"),
    ],
)
def test_a_plan_that_does_not_fit_says_why_and_what_builds_one(
    origin, name, version, capability, words
):
    api = TensorRt(name, version, SimpleNamespace())
    with pytest.raises(DeviceError, match=words) as caught:
        check_plan("model.plan", replace(ORIGIN, **origin), api, capability)
    assert ORIGIN.command in str(caught.value)


@pytest.mark.parametrize(
    ("origin", "version", "capability"),
    [
        ({}, "10.13.3", "9.0"),
        ({}, "10.13.3", None),
        ({"version_compatible": True}, "11.0.0", "9.0"),
        ({"hardware_compatible": True}, "10.13.3", "12.0"),
        ({"compute_capabilities": ()}, "10.13.3", "8.6"),
    ],
)
def test_a_plan_that_fits_passes(origin, version, capability):
    api = TensorRt("tensorrt", version, SimpleNamespace())
    check_plan("model.plan", replace(ORIGIN, **origin), api, capability)


def test_a_plan_is_refused_on_a_machine_without_a_gpu(plan):
    with pytest.raises(DeviceError, match=r"model\.plan: .*needs an NVIDIA GPU"):
        Picker(plan)


class TestLoading:
    def test_what_is_not_installed_says_how(self, monkeypatch):
        monkeypatch.setattr(
            "dep.engine.runtime.tensorrt_api.find_spec", lambda _name: None
        )
        for name in ("auto", "tensorrt", "tensorrt_rtx"):
            with pytest.raises(DeviceError, match=r"not installed: pip install"):
                load_tensorrt(name)

    def test_what_does_not_load_says_why(self, monkeypatch):
        def fails(_name):
            message = "libnvinfer.so.10: cannot open shared object file"
            raise OSError(message)

        monkeypatch.setattr("dep.engine.runtime.tensorrt_api.find_spec", str)
        monkeypatch.setattr(
            "dep.engine.runtime.tensorrt_api.importlib.import_module", fails
        )
        with pytest.raises(DeviceError, match=r"does not load \(libnvinfer"):
            load_tensorrt("auto")

    @pytest.mark.parametrize("version", ["9.3.0", "8.6.1.6"])
    def test_what_is_too_old_says_so(self, monkeypatch, version):
        module = SimpleNamespace(__version__=version)
        monkeypatch.setattr("dep.engine.runtime.tensorrt_api.find_spec", str)
        monkeypatch.setattr(
            "dep.engine.runtime.tensorrt_api.importlib.import_module",
            lambda _name: module,
        )
        with pytest.raises(DeviceError, match=r"too old: expected 10\.1"):
            load_tensorrt("tensorrt")

    def test_an_unknown_name(self):
        with pytest.raises(DeviceError, match="expected one of auto, tensorrt"):
            load_tensorrt("openvino")
