"""Fixtures that several parts share: shared data, tiny models, tomograms."""

import builtins
import hashlib
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

if "PYTEST_XDIST_WORKER" in os.environ:
    # Processes share the processor: more threads in each would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Timings never decide a test. Nor does luck decide whether a commit lands: there the
# examples are the same each time; elsewhere new ones are drawn.
settings.register_profile("dep", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("dep")

ROOT = Path(__file__).resolve().parent.parent
VOXEL_SIZE = 10.0
RADIUS = 3  # voxels, of the balls in `make_tomogram`

TRAINING = """
name = "tiny"
voxel_size = 10.0
contrast = "dark"
classes = [
  { name = "a", diameter = 60 },
  { name = "bead", diameter = 80, report = false },
  { name = "b", diameter = 90 },
]

[data]
train = [{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }]
validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]
fully_annotated = true

[labels]
diameter = 5

[network]
widths = [4, 8]
coordinates = false
stem_stride = 2

[training]
steps = 6
batch = 2
patch = 16
learning_rate = 1e-2
save_every = 3
threads = 1
seed = 3
device = "cpu"

[picking]
tile = 24
margin = 4
t_dist = 4
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a device where there is none, and say why."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := missing_device()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def missing_device() -> str:
    """Say why no CUDA device can be used; empty where one can."""
    from dep.kernels.backends import BackendError
    from dep.kernels.cuda.cupy_device import CupyDevice

    try:
        # CuPy warns of much when it is first imported: nothing that a test is about.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            CupyDevice()
    except BackendError as error:
        return str(error)
    return ""


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def sample() -> Path:
    """The sample tomogram; its truth lies beside it as CSV."""
    return ROOT / "docs" / "sample" / "sample.mrc"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development tomograms; skips where they are not at hand."""
    default = ROOT.parent / "shared" / "data"
    folder = Path(os.environ.get("DEP_SHARED_DATA", default))
    if not (folder / "tomograms").is_dir():
        pytest.skip(f"no shared data at {folder}: set DEP_SHARED_DATA to run this test")
    return folder


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Path]:
    """Give a function that writes a tiny model: it sees dark and bright balls.

    The network smooths its tile with one 3 x 3 x 3 convolution and calls what is far
    below zero ``dark`` (class 1), far above it ``bright`` (class 2). `card` overrules
    fields of its card.
    """

    def make(path: Path, tile: int = 24, margin: int = 6, **card: Any) -> Path:
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        kernel = np.zeros((3, 1, 3, 3, 3), np.float32)
        kernel[1], kernel[2] = -1 / 3, 1 / 3
        bias = np.array([6.0, 0.0, 0.0], np.float32)
        size = (tile, tile, tile)
        graph = helper.make_graph(
            [
                helper.make_node(
                    "Conv",
                    ["tomogram", "kernel", "bias"],
                    ["logits"],
                    pads=[1, 1, 1, 1, 1, 1],
                ),
                helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
            ],
            "balls",
            [
                helper.make_tensor_value_info(
                    "tomogram", TensorProto.FLOAT, ("batch", 1, *size)
                )
            ],
            [
                helper.make_tensor_value_info(
                    "scores", TensorProto.FLOAT, ("batch", 3, *size)
                )
            ],
            [
                numpy_helper.from_array(kernel, "kernel"),
                numpy_helper.from_array(bias, "bias"),
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        )
        digest = hashlib.sha256(kernel.tobytes() + bias.tobytes()).hexdigest()
        helper.set_model_props(
            model, {"dep.card": card_json(tile, margin, digest, card)}
        )
        onnx.save(model, str(path))
        return path

    return make


@pytest.fixture(scope="session")
def make_deep_model(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[int], Path]:
    """Give a function that writes a network of so many equal layers; 200 take long.

    A tile of 48 voxels takes some hundredths of a second a layer on two cores, more
    with ONNX Runtime: slow as a whole, and quick to notice that it is interrupted.
    """

    def make(layers: int) -> Path:
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        tile, width = 48, 32
        size = (tile, tile, tile)
        first = np.full((width, 1, 1, 1, 1), 1.0, np.float32)
        middle = np.full((width, width, 3, 3, 3), 1 / (27 * width), np.float32)
        last = np.zeros((3, width, 1, 1, 1), np.float32)
        last[1], last[2] = -1 / width, 1 / width
        pads = {"first": [0] * 6, "middle": [1] * 6, "last": [0] * 6}
        kernels = ["first", *["middle"] * layers, "last"]
        nodes = [
            helper.make_node(
                "Conv", [f"x{k}", kernel], [f"x{k + 1}"], pads=pads[kernel]
            )
            for k, kernel in enumerate(kernels)
        ]
        nodes[0].input[0] = "tomogram"
        nodes.append(
            helper.make_node("Softmax", [f"x{len(kernels)}"], ["scores"], axis=1)
        )
        graph = helper.make_graph(
            nodes,
            "deep",
            [
                helper.make_tensor_value_info(
                    "tomogram", TensorProto.FLOAT, ("batch", 1, *size)
                )
            ],
            [
                helper.make_tensor_value_info(
                    "scores", TensorProto.FLOAT, ("batch", 3, *size)
                )
            ],
            [
                numpy_helper.from_array(array, name)
                for name, array in (
                    ("first", first),
                    ("middle", middle),
                    ("last", last),
                )
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
        )
        digest = hashlib.sha256(middle.tobytes() + last.tobytes()).hexdigest()
        helper.set_model_props(model, {"dep.card": card_json(tile, 6, digest, {})})
        path = tmp_path_factory.mktemp("deep") / f"deep{layers}.onnx"
        onnx.save(model, str(path))
        return path

    return make


@pytest.fixture(scope="session")
def slow_model(make_deep_model: Callable[[int], Path]) -> Path:
    """One that takes far longer for a tile than any test waits."""
    return make_deep_model(400)


def card_json(tile: int, margin: int, digest: str, changes: dict[str, Any]) -> str:
    """Write the card of the tiny model."""
    from dep.engine.card import ClassInfo, ModelCard

    diameter = 2 * RADIUS * VOXEL_SIZE
    fields: dict[str, Any] = {
        "name": "balls",
        "classes": (ClassInfo("dark", diameter), ClassInfo("bright", diameter)),
        "voxel_size": VOXEL_SIZE,
        "contrast": "dark",
        "activation": "softmax",
        "tile": tile,
        "margin": margin,
        "tile_fixed": False,
        "tile_multiple": 1,
        "label_kind": "ball",
        "label_diameter": 5,
        "assembly": "joint",
        "t_seg": 0.5,
        "t_lm": 0.05,
        "t_dist": 4.0,
        "iterations": 2,
        "trained_on": "nothing: written by hand",
        "software": "tests",
        "weights_digest": digest,
    }
    return ModelCard(**{**fields, **changes}).to_json()


@pytest.fixture(scope="session")
def tiny_model(
    make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One such model, for all tests that only read it."""
    return make_model(tmp_path_factory.mktemp("model") / "balls.onnx")


@pytest.fixture(scope="session")
def make_tomogram() -> Callable[..., NDArray[np.float32]]:
    """Give a function that writes a noisy MRC tomogram with dark and bright balls."""

    def make(
        path: Path,
        dark: Any = ((10, 12, 14), (30, 28, 12)),
        bright: Any = ((28, 10, 20),),
        shape: tuple[int, int, int] = (32, 40, 44),
        voxel_size: float = VOXEL_SIZE,
    ) -> NDArray[np.float32]:
        import mrcfile

        rng = np.random.default_rng(7)
        voxels = rng.normal(0, 1, shape).astype(np.float32)
        z, y, x = np.indices(shape)
        for centres, value in ((dark, -12.0), (bright, 12.0)):
            for cx, cy, cz in centres:
                inside = (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < RADIUS**2
                voxels[inside] += value
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(voxels)
            mrc.voxel_size = voxel_size
            mrc.set_volume()
        return voxels

    return make


@dataclass(frozen=True)
class RunFiles:
    folder: Path
    config: Path

    def rewrite(self, *changes: tuple[str, str]) -> Path:
        """Change the configuration's text, each of (old, new); return its path."""
        text = self.config.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.config.write_text(text)
        return self.config


@pytest.fixture
def run_files(tmp_path: Path) -> RunFiles:
    """A tomogram with dark balls of three classes, and its configuration."""
    return write_run_files(tmp_path)


def write_run_files(folder: Path) -> RunFiles:
    """Write what `run_files` gives."""
    for seed, name in enumerate(("tomo", "held")):
        annotated_tomogram(folder / name, seed)
    config = folder / "config.toml"
    config.write_text(TRAINING)
    return RunFiles(folder, config)


@pytest.fixture
def without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a machine where Pillow is not installed."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "PIL":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a finished run of `run_files`; leave it as it is."""
    from dep.train import load_config, train

    folder = tmp_path_factory.mktemp("trained")
    return train(load_config(write_run_files(folder).config), folder / "run")


def annotated_tomogram(path: Path, seed: int) -> None:
    """Write NAME.mrc and NAME.csv: noise with dark balls of three classes."""
    import mrcfile

    rng = np.random.default_rng(seed)
    shape = (28, 36, 40)
    voxels = rng.normal(0, 8, shape)
    z, y, x = np.indices(shape)
    lines = ["class,class_id,x,y,z"]
    for k in range(15):
        name, radius = [("a", 3), ("bead", 2), ("b", 4)][k % 3]
        centre = [rng.uniform(4, n - 5) for n in shape]
        inside = (
            sum((g - c) ** 2 for g, c in zip((z, y, x), centre, strict=True))
            < radius**2
        )
        voxels[inside] -= 40 if name != "bead" else 90
        lines.append(
            f"{name},{k % 3 + 1},{centre[2]:.3f},{centre[1]:.3f},{centre[0]:.3f}"
        )
    lines.append("vesicle,9,5,5,5")
    with mrcfile.new(path.with_suffix(".mrc")) as mrc:
        mrc.set_data(np.clip(voxels, -127, 127).astype(np.int8))
        mrc.voxel_size = 10.0
    path.with_suffix(".csv").write_text("\n".join(lines) + "\n")
