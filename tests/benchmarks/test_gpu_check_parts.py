"""What the parts of the check of a GPU compute, and how they tell it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture
def context(gpu, tmp_path):
    """Give what a part is given, in a folder of the test's own."""
    return gpu.context.Context(tmp_path / "lines", tmp_path, tmp_path, 60.0)


def taken_down(gpu, context):
    with context.lines.open() as stream:
        return gpu.context.read(stream)


def test_rows_need_not_have_the_same_columns(gpu):
    rows = [{"what": "a", "ms": 0.01234}, {"what": "long", "note": "no\ntime"}]
    assert gpu.report.table(rows) == [
        "  what       ms  note",
        "  a     0.01234",
        "  long           no time",
    ]


def test_texts_of_many_lines_go_below_their_table(gpu):
    failure = {"test": "t.py::a", "text": "first\n  second"}
    part = {"state": "failed", "why": "", "seconds": 1.0}
    part |= {"tables": {"failures": [failure]}, "faults": ["1 failed"]}
    document = {"made": "today", "seconds": 1.0, "setup": {}, "parts": {"tests": part}}
    lines = gpu.report.text(document).splitlines()
    below = lines.index("  t.py::a")
    assert lines[below + 1 : below + 3] == ["  | first", "  |   second"]
    assert "  WRONG: 1 failed" in lines


def test_dep_is_found_without_being_installed(gpu, root, tmp_path):
    folder = gpu.checkout.link(root, tmp_path)
    paths = [path for path in sys.path if path]
    program = (
        f"import sys; sys.path += {paths}; "
        "import dep.engine, dep.kernels.cuda.device as d; print(d.SOURCES)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],  # -S: what is installed is not seen
        env={"PYTHONPATH": str(folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(folder) in done.stdout


def test_the_core_is_compiled_from_what_pyproject_says(gpu, root, tmp_path):
    command = gpu.checkout.core_command("cc", root, tmp_path / "_c.abi3.so")
    sources = {word for word in command if word.endswith(".c")}
    assert sources == {str(path) for path in (root / "kernels" / "c").glob("*.c")}
    assert "-ffp-contract=off" in command


def test_a_floor_counts_each_byte_once(gpu):
    floors = gpu.floors
    # One tile of 96 with margin 12 and 13 channels: kernels/cuda/src/assemble.cu.
    assert floors.assemble_bytes(72, 1, 13, "f16") == 72**3 * (13 * 2 + 2)
    assert floors.assemble_bytes(72, 8, 13, "f32") == 8 * 72**3 * (13 * 4 + 2)
    # 512 x 512 x 200: 52 MB, and a sixteenth of it: kernels/cuda/src/nms.cu.
    assert floors.cells_bytes((200, 512, 512)) == 200 * 512 * 512 + 25 * 64 * 64 * 33
    assert floors.cells_bytes((1, 1, 1)) == 1 + 33
    assert floors.dedup_bytes(10_000) == 10_000 * 34 + 32768 * 8
    assert floors.milliseconds(3e9, 3e12) == pytest.approx(1)


def test_the_published_network_has_the_published_cost(gpu):
    network = gpu.networks.published()
    count = gpu.floors.macs(network.module, network.tile)
    assert count / 1e9 == pytest.approx(54.7, abs=0.05)
    parameters = sum(one.numel() for one in network.module.network.parameters())
    norms = 2 * sum(3 * width for width in (24, 48, 72, 108, 72, 48, 24))
    assert parameters == 2_430_145 - norms  # deployed, they are folded
    assert next(network.module.parameters()).device.type == "cpu"  # as it was
    assert gpu.network_torch.tflops(count, 1.0) == pytest.approx(109.4, abs=0.1)


def test_medians_are_per_kernel(gpu):
    class Device:
        def __init__(self):
            self.launched = []

        def launch(self, kernel, *launched, **more):
            self.launched.append((kernel, launched, more))

        def upload(self, host):
            return host

    moments = iter(range(0, 1000, 2))
    timed = gpu.timing.TimedDevice(
        Device(), lambda: next(moments), lambda a, b: float(b - a)
    )
    timed.launch("a", (1, 1, 1), shared=0)
    timed.launch("b", (1, 1, 1))
    timed.launch("a", (1, 1, 1))
    assert timed.taken() == {"a": 4.0, "b": 2.0}
    assert timed.taken() == {}
    assert timed.upload(5) == 5
    assert timed._device.launched[0] == ("a", ((1, 1, 1),), {"shared": 0})
    every = [{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"a": 2.0, "b": 1.0}]
    assert gpu.timing.medians(every) == {"a": 2.0, "b": 1.0}


@pytest.mark.parametrize(
    ("first", "rounds"), [(0.0, 30), (1e-4, 30), (0.1, 5), (0.05, 10), (9.0, 5)]
)
def test_what_takes_long_is_repeated_less(gpu, first, rounds):
    assert gpu.timing.rounds_for(first, 0.5) == rounds


def test_gains_are_stated_against_the_best_of_amp(gpu, tmp_path):
    def row(how="eager", precision="AMP f16", ms=1.0, batch=4):
        cells = {"network": "bundled", "how": how, "precision": precision}
        return {**cells, "batch": batch, "ms_per_tile": ms}

    rows = [row(ms=3.0), row(ms=2.0), row(precision="fp32", ms=0.1)]
    rows += [row(how="compiled", ms=0.2), row(batch=1, precision="AMP bf16", ms=5.0)]
    rows += [{**row(), "ms_per_tile": None}]
    best = {("bundled", 4): 2.0, ("bundled", 1): 5.0}
    assert gpu.network_files.best_amp(rows) == best
    lines = tmp_path / "network-torch.jsonl"
    assert gpu.network_files.amp_times(lines) == {}
    entries = [json.dumps({"table": "times", "row": one}) for one in rows]
    lines.write_text("\n".join(["garbage", *entries, "[1]"]))
    assert gpu.network_files.amp_times(lines) == best


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16"])
def test_torch_writes_scores_where_the_pipeline_wants_them(gpu, kind):
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv3d(1, 2, 3, padding=1)
    network = gpu.networks.TorchNetwork(module, kind, place="cpu", tile_bytes=5)
    rng = np.random.default_rng(3)
    tiles = rng.standard_normal((2, 1, 6, 6, 6)).astype(np.float32)
    dtype = {"f32": np.float32, "f16": np.float16, "bf16": np.uint16}[kind]
    whole = np.full((3, 2, 6, 6, 6), 9, dtype)
    network.enqueue(None, tiles, whole[:2])
    with torch.inference_mode():
        expected = module(torch.from_numpy(tiles)).numpy()
    found = whole[:2]
    if kind == "bf16":
        found = (found.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(found.astype(np.float32), expected, atol=0.02)
    assert (whole[2] == 9).all()
    assert network.nbytes(3) == 15
    network.close()
    with pytest.raises(RuntimeError, match="closed"):
        network.enqueue(None, tiles, whole[:2])


def test_a_way_of_pytorch_is_timed_and_its_failure_is_a_row(gpu, context):
    torch = pytest.importorskip("torch")
    module = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    small = gpu.networks.Network("small", module, 8, "random")
    for way in ("AMP bf16", "fp32"):
        gpu.network_torch.measure(
            context, small, module, 100, way, 2, True, place="cpu"
        )
    wrong = torch.nn.Conv3d(5, 2, 3)
    gpu.network_torch.measure(context, small, wrong, 1, "fp32", 1, False, place="cpu")
    found = taken_down(gpu, context)
    amp, plain, failed = found["tables"]["times"]
    assert amp["ms_per_tile"] > 0
    assert plain["tflops"] > 0
    assert "RuntimeError" in failed["note"]


ALARMS = """
import signal, time
from gpu.network_torch import within

signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.alarm(500)
try:
    with within(0.05):
        time.sleep(60)
except TimeoutError:
    pass
else:
    raise SystemExit("it was let be")
left = signal.alarm(0)
assert 400 < left <= 500, left
with within(60):
    pass
assert signal.alarm(0) == 0
assert signal.getsignal(signal.SIGALRM) == signal.SIG_IGN
"""


def test_what_takes_too_long_is_left_and_the_last_alarm_stays(root):
    # In a process of its own: a process has one alarm, and who runs tests may use it.
    found = subprocess.run(
        [sys.executable, "-c", ALARMS],
        env={**os.environ, "PYTHONPATH": str(root / "benchmarks")},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr


def test_particles_of_the_made_tomogram_do_not_touch(gpu):
    tomogram = gpu.tomogram
    rng = np.random.default_rng(1)
    centres = tomogram.centres(tomogram.SHAPE, rng)
    assert 1_000 < len(centres) < 2_000
    radius = max(tomogram.RADII)
    assert (centres >= radius).all()
    assert (centres < np.array(tomogram.SHAPE) - radius).all()
    small = tomogram.centres((96, 96, 96), rng)
    apart = np.abs(small[:, None] - small[None]).max(axis=-1)
    apart[np.diag_indices(len(small))] = 99
    assert apart.min() > 2 * radius
    made = tomogram.make((40, 48, 48))
    assert made.dtype == np.int8
    assert made.shape == (40, 48, 48)
    same = tomogram.make((40, 48, 48), np.float32) / tomogram.STEP
    assert np.abs(np.clip(same, -127, 127) - made).max() <= 0.51


@pytest.fixture
def small_training(gpu, context, tmp_path):
    """A context, and a training on a processor that takes seconds."""
    pytest.importorskip("pytorch_lightning")
    gpu.training.write_data(tmp_path, (32, 64, 64))
    small = {"patch": 16, "widths": [4, 8], "place": "cpu"}
    return context, lambda steps, precision="fp32": gpu.training.config_of(
        tmp_path, precision, 2, steps=steps, **small
    )


@pytest.mark.parametrize(("fallen", "faults"), [(9.0, 0), (0.0, 1)])
def test_a_training_is_timed_and_must_learn(
    gpu, small_training, monkeypatch, fallen, faults
):
    monkeypatch.setattr(gpu.training, "FALLEN", fallen)
    context, config = small_training
    gpu.training.whole(context, config(6))
    found = taken_down(gpu, context)
    (row,) = found["tables"]["trainings"]
    assert (row["steps"], row["batch"], row["precision"]) == (6, 2, "fp32")
    assert row["ms_a_step"] > 0
    assert len(found["faults"]) == faults
    assert all(f"became {row['last_loss']:.3f} only" in one for one in found["faults"])


def test_a_training_that_fails_is_a_fault(gpu, small_training):
    context, config = small_training
    gpu.training.whole(context, config(1, "fp16"))  # not on a processor
    found = taken_down(gpu, context)
    (row,) = found["tables"]["trainings"]
    assert "fp16 needs a CUDA device" in row["note"]
    assert "training in fp16, batch 2" in found["faults"][0]


def test_the_stages_of_a_step_are_timed(gpu, small_training):
    context, config = small_training
    gpu.training.stages(context, config(9), rounds=2)
    rows = taken_down(gpu, context)["tables"]["stages, ms"]
    assert [row["deterministic"] for row in rows] == [True, False]
    names = ("cut", "augment", "forward", "backward", "optimiser", "average")
    assert all(row[name] > 0 for row in rows for name in names)


def test_particles_are_where_the_file_says(gpu, tmp_path):
    gpu.training.write_data(tmp_path, (32, 64, 64))
    voxels = np.load(tmp_path / "made.npy").astype(float)
    lines = (tmp_path / "made.csv").read_text().split()[1:]
    centres = np.array([line.split(",")[1:] for line in lines], int)
    assert len(centres) == 4
    at = [voxels[z - 2 : z + 3, y - 2 : y + 3, x - 2 : x + 3] for x, y, z in centres]
    assert np.mean(at) < voxels.mean() - voxels.std()


def test_options_of_onnx_runtime_are_timed_and_wrong_ones_are_a_row(
    gpu, context, monkeypatch
):
    runtime = pytest.importorskip("onnxruntime")
    from dep.engine.bundled import bundled_model

    whole = gpu.tomogram.make
    monkeypatch.setattr(
        gpu.tomogram, "make", lambda _, *rest: whole((32, 32, 32), *rest)
    )
    ways = (
        ({}, {"no_such_option": "1"}),
        ("CPUExecutionProvider", gpu.onnxruntime_options.CUDA),
    )
    scores = None
    for options, provider in zip(*ways, strict=True):
        found = gpu.onnxruntime_options.measure(
            context, runtime, bundled_model("fast"), options, provider, 1, scores
        )
        scores = found if scores is None else scores
    assert found is None
    gpu.onnxruntime_options.measure(
        context, runtime, bundled_model("fast"), {}, ways[1][0], 1, scores - 0.25
    )
    rows = taken_down(gpu, context)["tables"]["options"]
    assert rows[0]["ms_per_tile"] > 0
    assert rows[0]["file"] == "fast.onnx"
    assert "scores_differ" not in rows[0]  # from nothing yet
    assert "note" in rows[1]
    assert rows[2]["scores_differ"] == pytest.approx(0.25, abs=1e-3)
