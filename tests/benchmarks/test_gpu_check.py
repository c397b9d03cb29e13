"""gpu_check ends in time, whatever its parts do, and loses nothing they found."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

MISBEHAVING = """
import os, sys, time

def good(context):
    context.value("found", 7)
    context.row("times", what="a", ms=1.25)

def aborts(context):
    context.row("times", what="before the crash", ms=float("nan"))
    os.abort()

def hangs(context):
    context.value("began", True)
    time.sleep(600)

def prints_garbage(context):
    sys.stdout.buffer.write(bytes(range(256)) * 50)
    with context.lines.open("ab") as stream:
        stream.write(bytes([255, 0, 13, 10]) + b'{"table": 1}\\nnull\\n[]\\n"end"\\n')
    context.value("found", 8)

def raises(context):
    raise ValueError("a name is missing")

def exits(context):
    os._exit(5)

def is_wrong(context):
    context.fault("3 candidates differ")

def leaves_a_child(context):
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    context.value("child", child.pid)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def gpu(root):
    """Give the modules of `benchmarks/gpu`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        import gpu.checkout
        import gpu.command
        import gpu.context
        import gpu.floors
        import gpu.network_files
        import gpu.network_torch
        import gpu.networks
        import gpu.parts
        import gpu.report
        import gpu.schedule
        import gpu.timing
        import gpu.tomogram

        yield gpu


@pytest.fixture
def run_parts(gpu, root, tmp_path):
    """Give a function that runs functions of MISBEHAVING as parts."""
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = os.pathsep.join((str(root / "benchmarks"), str(tmp_path)))
    place = gpu.schedule.Place(root, scratch, {**os.environ, "PYTHONPATH": path})

    def run(*names, seconds=60.0):
        parts = [gpu.parts.Part(name, 1, f"misbehaving:{name}") for name in names]
        results = {}
        began = time.monotonic()
        gpu.schedule.run(parts, place, began + seconds, results, lambda: None)
        return results, time.monotonic() - began

    return run


def test_a_part_that_fails_in_any_way_does_not_stop_the_next(run_parts):
    names = ("aborts", "raises", "exits", "prints_garbage", "is_wrong", "good")
    results, _ = run_parts(*names)
    assert {name: results[name]["state"] for name in names} == {
        "aborts": "crashed",
        "raises": "failed",
        "exits": "failed",
        "prints_garbage": "done",
        "is_wrong": "failed",
        "good": "done",
    }
    assert "SIGABRT" in results["aborts"]["why"]
    assert results["aborts"]["tables"]["times"] == [
        {"what": "before the crash", "ms": None}
    ]
    assert results["raises"]["why"] == "ValueError: a name is missing"
    assert "Traceback" in results["raises"]["output_tail"]
    assert "status 5" in results["exits"]["why"]
    assert results["prints_garbage"]["values"] == {"found": 8}
    assert results["prints_garbage"]["strange_lines"] > 0
    assert results["is_wrong"]["why"] == "3 candidates differ"
    assert results["good"]["tables"]["times"] == [{"what": "a", "ms": 1.25}]


def test_what_hangs_is_ended_with_all_it_started_and_keeps_the_budget(run_parts):
    results, took = run_parts("leaves_a_child", "hangs", seconds=4.5)
    assert took < 7
    assert results["hangs"]["state"] == "stopped"
    assert results["hangs"]["values"] == {"began": True}
    child = results["leaves_a_child"]["values"]["child"]
    for _ in range(50):  # until whoever inherited it has taken note
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(child)], capture_output=True, text=True
        )
        assert state.stdout.strip().startswith("Z")


def test_without_time_a_part_is_not_begun(run_parts):
    results, took = run_parts("good", seconds=0.5)
    assert took < 1
    assert results["good"]["state"] == "not run"
    assert "no time" in results["good"]["why"]


def test_what_a_part_leaves_over_goes_to_the_others(gpu):
    short, long = gpu.parts.Part("a", 1, ""), gpu.parts.Part("b", 3, "")
    assert gpu.schedule.limit_of(short, [long], 40) == 10
    assert gpu.schedule.limit_of(long, [], 39) == 39


@pytest.fixture(scope="module")
def without_gpu(root, tmp_path_factory):
    """Run the command itself, as on a machine without a GPU."""
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        from gpu.machine import gpu_missing

        if not gpu_missing():
            pytest.skip("here is a GPU, and the check would take minutes")
    finally:
        sys.path.remove(str(root / "benchmarks"))
    out = tmp_path_factory.mktemp("report") / "new" / "report.json"
    done = subprocess.run(
        [sys.executable, root / "benchmarks" / "gpu_check", "--out", out],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return SimpleNamespace(
        status=done.returncode, text=done.stdout, words=done.stderr, out=out
    )


def test_without_a_gpu_every_part_says_why_it_did_not_run(gpu, without_gpu):
    assert without_gpu.status == 3, without_gpu.words
    document = json.loads(without_gpu.out.read_text())
    assert document["finished"] is True
    parts = document["parts"]
    assert list(parts) == [part.name for part in gpu.parts.PARTS]
    assert parts.pop("environment")["state"] == "done"
    for name, part in parts.items():
        assert part["state"] == "not run", name
        assert "NVIDIA" in part["why"], name
        assert f"== {name}: not run: {part['why']}" in without_gpu.text
    assert [one.name for one in without_gpu.out.parent.iterdir()] == ["report.json"]


def test_the_environment_is_told_all_the_same(without_gpu):
    document = json.loads(without_gpu.out.read_text())
    values = document["parts"]["environment"]["values"]
    assert values["cores"] >= 1
    installed = document["parts"]["environment"]["tables"]["installed"]
    assert "numpy" in {row["distribution"] for row in installed}
    assert document["setup"]["compiled core"] == "there"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--only", "kernel"], "no part 'kernel'; the parts are environment, kernels"),
        (["--only", ","], "found none"),
        (["--wheels", "/no/such/folder"], "/no/such/folder: is not a folder"),
        (["--out", "/proc/no/report.json"], "/proc/no"),
    ],
)
def test_wrong_use_is_told_before_anything_runs(gpu, tmp_path, capsys, words, told):
    out = [] if "--out" in words else ["--out", str(tmp_path / "report.json")]
    assert gpu.command.main([*out, *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


def test_some_parts_can_be_chosen(gpu):
    names = [part.name for part in gpu.parts.choose("kernels,network")]
    assert names == [
        "kernels",
        "network-torch",
        "network-compiled",
        "network-onnxruntime",
        "network-tensorrt",
    ]


def test_stopped_from_outside_it_reports_what_it_has(root, tmp_path):
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    out = tmp_path / "report.json"
    program = (
        "import sys; from gpu import command, parts;"
        "P = parts.Part;"
        "sys.exit(command.main(['--out', sys.argv[1]],"
        " (P('good', 1, 'misbehaving:good'), P('hangs', 9, 'misbehaving:hangs'))))"
    )
    path = os.pathsep.join((str(root / "benchmarks"), str(tmp_path)))
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(out)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            time.sleep(0.1)
            if out.exists():
                parts = json.loads(out.read_text())["parts"]  # whole at any time
                if parts.get("hangs", {}).get("values"):
                    break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
    finally:
        process.kill()
    document = json.loads(out.read_text())
    assert document["finished"] is False
    assert document["parts"]["good"]["state"] == "done"
    assert document["parts"]["hangs"]["state"] == "stopped"
    assert "SIGTERM" in document["parts"]["hangs"]["why"]


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ({"environment": "done", "kernels": "not run"}, 3),
        ({"environment": "done", "kernels": "done", "models": "not run"}, 0),
        ({"environment": "done", "kernels": "crashed"}, 1),
        ({"environment": "done", "kernels": "stopped", "tests": "done"}, 1),
    ],
)
def test_the_exit_status_says_what_came_of_it(gpu, states, status):
    parts = {name: {"state": state} for name, state in states.items()}
    assert gpu.report.status(parts) == status


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


def test_a_way_of_pytorch_is_timed_and_its_failure_is_a_row(gpu, tmp_path):
    torch = pytest.importorskip("torch")
    context = gpu.context.Context(tmp_path / "lines", tmp_path, tmp_path, 60)
    module = torch.nn.Conv3d(1, 2, 3, padding=1).eval()
    small = gpu.networks.Network("small", module, 8, "random")
    for way in ("AMP bf16", "fp32"):
        gpu.network_torch.measure(
            context, small, module, 100, way, 2, True, place="cpu"
        )
    wrong = torch.nn.Conv3d(5, 2, 3)
    gpu.network_torch.measure(context, small, wrong, 1, "fp32", 1, False, place="cpu")
    found = gpu.context.read((tmp_path / "lines").read_text().splitlines())
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
