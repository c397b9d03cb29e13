"""A network that takes long is ended soon: by a stop, a signal, or closing.

The slow network takes many times longer for one tile than any of these tests may.
"""

import contextlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dep.engine import DepError, Picker, StoppedError
from dep.engine.model_file import read_card
from dep.engine.runtime import open_runtime

RUNTIMES = ["openvino", "onnxruntime"]
SOON = 5  # seconds; a busy machine takes a good deal of one for a layer


@pytest.fixture(params=RUNTIMES)
def name(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.fixture
def slow(slow_model):
    with Picker(slow_model) as one:
        yield one


@contextlib.contextmanager
def soon():
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < SOON


def noise(size=48, seed=0):
    return np.random.default_rng(seed).normal(size=(size,) * 3).astype("f4")


def at_work():
    """Names of the engine's threads."""
    return {one.name for one in threading.enumerate() if one.name.startswith("dep-")}


def wait_for(what):
    end = time.perf_counter() + 60
    while not what():
        assert time.perf_counter() < end
        time.sleep(0.01)


class Taking(threading.Thread):
    """Takes results in a thread; keeps them, and what ended it."""

    def __init__(self, results):
        super().__init__(daemon=True)
        self.results, self.got, self.error = results, [], None
        self.start()

    def run(self):
        try:
            for one in self.results:
                self.got.append(one)  # kept when the next raises
        except DepError as error:
            self.error = error


def test_an_interrupted_runtime_goes_on_with_the_next_call(make_deep_model, name):
    path = make_deep_model(10)
    runtime = open_runtime(path, read_card(path), runtime=name)
    tiles = noise()[None, None]
    runtime.interrupt()  # nothing runs: nothing happens
    expected = runtime.infer(tiles).copy()
    ended = []

    def infer():
        try:
            ended.append(runtime.infer(tiles))
        except DepError as error:
            ended.append(error)

    for _ in range(3):
        thread = threading.Thread(target=infer)
        thread.start()
        while thread.is_alive():
            runtime.interrupt()
            thread.join(0.01)
    assert [type(one) for one in ended] == [StoppedError] * 3
    runtime.interrupt()
    np.testing.assert_array_equal(runtime.infer(tiles), expected)
    runtime.close()
    runtime.interrupt()


def test_a_running_network_is_interrupted_soon(slow_model, name):
    runtime = open_runtime(slow_model, read_card(slow_model), runtime=name)
    ended = []

    def infer():
        with pytest.raises(StoppedError):
            runtime.infer(noise()[None, None])
        ended.append(True)

    thread = threading.Thread(target=infer)
    thread.start()
    time.sleep(0.5)
    with soon():
        runtime.interrupt()
        thread.join(SOON)
    assert ended == [True]


def test_setting_stop_ends_soon(slow_model, name):
    stop = threading.Event()
    with Picker(slow_model, runtime=name) as picker:
        taking = Taking(picker.pick_many([noise()] * 3, voxel_size=10.0, stop=stop))
        wait_for(lambda: "dep-network_0" in at_work())
        time.sleep(0.3)
        with soon():
            stop.set()
            taking.join(SOON)
    assert isinstance(taking.error, StoppedError)
    assert at_work() == set()


def test_stop_is_seen_while_another_has_the_network(slow):
    threading.Thread(target=swallow, args=(slow,), daemon=True).start()
    wait_for(lambda: "dep-network_0" in at_work())
    stop = threading.Event()
    taking = Taking(slow.pick_many([noise()] * 3, voxel_size=10.0, stop=stop))
    wait_for(lambda: "dep-many" in at_work())
    with soon():
        stop.set()
        taking.join(SOON)
    assert isinstance(taking.error, StoppedError)
    assert "dep-network_0" in at_work()  # the other's tomogram was left alone


def swallow(picker):
    with contextlib.suppress(DepError):
        picker.pick(noise(), 10.0)


def test_stop_is_seen_while_a_tomogram_is_measured(tiny_model, monkeypatch):
    measuring, stop = threading.Event(), threading.Event()

    def endless(_source, tick, *_rest):
        while True:
            measuring.set()
            tick(1, 2)
            time.sleep(0.01)

    monkeypatch.setattr("dep.engine.job.measure", endless)
    with Picker(tiny_model) as picker:
        taking = Taking(picker.pick_many([noise()], voxel_size=10.0, stop=stop))
        assert measuring.wait(SOON)
        with soon():
            stop.set()
            taking.join(SOON)
    assert isinstance(taking.error, StoppedError)
    assert at_work() == set()


def test_leaving_the_loop_ends_soon(make_deep_model):
    """The first tomogram is one that fails at once; the network has the second."""
    with Picker(make_deep_model(400)) as picker:
        flat = np.zeros((8, 8, 8), "f4")
        results = picker.pick_many([flat, noise(), noise()], voxel_size=10.0)
        assert next(results).error is not None
        wait_for(lambda: "dep-network_0" in at_work())
        with soon():
            results.close()
        assert at_work() == set()


def test_closing_the_picker_gives_up_what_is_in_work(slow_model):
    picker = Picker(slow_model)
    failed = []

    def pick():
        with pytest.raises(DepError, match="mine: the picker is closed"):
            picker.pick(noise(), 10.0, name="mine")
        failed.append(True)

    threads = [threading.Thread(target=pick) for _ in range(2)]  # one of them waits
    for one in threads:
        one.start()
    wait_for(lambda: "dep-network_0" in at_work())
    with soon():
        picker.close()
        for one in threads:
            one.join(SOON)
    assert failed == [True, True]
    assert at_work() == set()


def test_one_of_several_is_cancelled_and_the_others_are_right(make_deep_model):
    """All share the network; the one that stops has a tile in it half of the time."""
    arrays = [noise(36, seed) for seed in range(3)]
    with Picker(make_deep_model(3)) as picker:
        options = {"voxel_size": 10.0, "t_seg": 0.2}
        alone = [picker.pick(one, **options) for one in arrays]
        found = [[], []]

        def run(mine):
            mine.extend(picker.pick_many(arrays * 2, **options))

        others = [threading.Thread(target=run, args=(mine,)) for mine in found]
        for one in others:
            one.start()
        for _ in range(6):
            stop = threading.Event()
            taking = Taking(picker.pick_many(arrays * 9, stop=stop, **options))
            time.sleep(0.15)
            stop.set()
            taking.join(60)
            assert isinstance(taking.error, StoppedError)
        for one in others:
            one.join(120)
    for mine in found:
        assert len(mine) == 6
        for outcome, expected in zip(mine, alone * 2, strict=True):
            np.testing.assert_array_equal(outcome.picks.xyz, expected.xyz)
            np.testing.assert_array_equal(outcome.picks.score, expected.score)


PICK = """
import sys, threading, numpy as np
from dep.engine import Picker
noise = np.random.default_rng(0).normal(size=(48, 48, 48)).astype("f4")
tell = lambda done, total, stage: stage == "network" and print("go", flush=True)
picker = Picker(sys.argv[1], runtime=sys.argv[2])
try:
    picker.pick(noise, 10.0, progress=tell)
finally:
    print([one.name for one in threading.enumerate()], flush=True)
"""
LOOP = """
import sys, threading, numpy as np
from dep.engine import Picker
noise = np.random.default_rng(0).normal(size=(48, 48, 48)).astype("f4")
tell = lambda one: one.stage == "network" and print("go", flush=True)
try:
    with Picker(sys.argv[1], runtime=sys.argv[2]) as picker:
        for one in picker.pick_many([noise] * 3, progress=tell, voxel_size=10.0):
            pass
finally:
    print([one.name for one in threading.enumerate()], flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("program", [PICK, LOOP], ids=["pick", "pick_many"])
def test_ctrl_c_ends_a_slow_network_soon(slow_model, name, program):
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(slow_model), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have told its children to ignore interrupts; ours must not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "go\n"
    time.sleep(0.5)
    with soon():
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=60)
    assert process.returncode in (-signal.SIGINT, 130), error
    assert error.count("KeyboardInterrupt") == 1
    assert said == "['MainThread']\n"  # nothing of it is left
