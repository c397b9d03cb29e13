"""Many tomograms through one picker: in turn, lazily, and nothing is lost or kept."""

import gc
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dep.engine import DepError, Picker, SettingError, StoppedError, TomogramError


@pytest.fixture(scope="module")
def tomogram(make_tomogram, tmp_path_factory):
    path = tmp_path_factory.mktemp("tomogram") / "TS_01.mrc"
    make_tomogram(path)
    return path


@pytest.fixture
def picker(tiny_model):
    with Picker(tiny_model) as one:
        yield one


@pytest.fixture
def slow(picker, fake):
    """A picker whose network waits until it is let go."""
    picker.runtime.close()
    gate = threading.Event()
    runtime = fake(batch=1)
    infer = runtime.infer

    def waits(tiles):
        gate.wait(20)
        return infer(tiles)

    runtime.infer = waits
    picker.runtime = runtime
    return picker, gate


def noise(seed, size=24):
    return np.random.default_rng(seed).normal(size=(size,) * 3).astype("f4")


def assert_same(a, b):
    np.testing.assert_array_equal(a.xyz, b.xyz)
    np.testing.assert_array_equal(a.class_id, b.class_id)
    np.testing.assert_array_equal(a.score, b.score)


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def threads():
    return {one.name for one in threading.enumerate() if one.name.startswith("dep-")}


def left_over():
    """Name the threads that do not end; one that has the iterable is not waited for."""
    for _ in range(1000):
        if not threads():
            break
        time.sleep(0.01)
    return threads()


def test_each_gives_what_it_gives_alone(picker, tomogram):
    arrays = [noise(seed) for seed in range(3)]
    given = [("a", arrays[0]), str(tomogram), ("b", arrays[1]), arrays[2]]
    outcomes = list(picker.pick_many(given, voxel_size=10.0, t_seg=0.3))
    assert [one.number for one in outcomes] == [0, 1, 2, 3]
    assert all(one.error is None for one in outcomes)
    assert [one.picks.tomogram for one in outcomes] == ["a", "TS_01", "b", "tomogram"]
    alone = (arrays[0], tomogram, arrays[1], arrays[2])
    for one, again in zip(outcomes, alone, strict=True):
        assert_same(one.picks, picker.pick(again, 10.0, t_seg=0.3))
        assert one.picks.settings.t_seg == 0.3
        assert one.picks.stats.total > 0


def test_nothing_is_printed(picker, capfd):
    told = []
    list(picker.pick_many([noise(0), noise(1)], voxel_size=10.0, progress=told.append))
    assert {(one.number, one.stage) for one in told} == {
        (number, stage)
        for number in (0, 1)
        for stage in ("statistics", "network", "deduplicate")
    }
    assert capfd.readouterr() == ("", "")


def test_nothing_gives_nothing(picker):
    assert list(picker.pick_many([])) == []


def test_one_that_fails_does_not_stop_the_others(picker, tomogram, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"no tomogram")
    flat = np.zeros((8, 8, 8), "f4")
    given = [tmp_path / "bad.mrc", tomogram, ("flat", flat), tomogram]
    outcomes = list(picker.pick_many(given, voxel_size=10.0))
    assert [one.picks is None for one in outcomes] == [True, False, True, False]
    assert isinstance(outcomes[0].error, TomogramError)
    assert "bad.mrc" in str(outcomes[0].error)
    assert "flat" in str(outcomes[2].error)
    assert_same(outcomes[1].picks, outcomes[3].picks)


def test_a_failing_network_and_a_defect_are_outcomes_too(picker, tomogram, fake):
    picker.runtime.close()
    failures = iter([ZeroDivisionError("odd"), None])

    class Odd(fake):
        def infer(self, tiles):
            if self.calls == 0 and (failure := next(failures)) is not None:
                raise failure
            return super().infer(tiles)

    picker.runtime = Odd()
    first, second = picker.pick_many([tomogram, tomogram])
    assert isinstance(first.error, ZeroDivisionError)
    assert second.picks is not None


def test_a_setting_out_of_range_is_said_at_once(picker):
    with pytest.raises(SettingError, match="t_seg"):
        picker.pick_many([], t_seg=2.0)


def test_tomograms_are_taken_as_they_are_needed(slow):
    picker, gate = slow
    taken = []

    def arrays():
        for number in range(6):
            taken.append(number)
            yield noise(number)

    results = picker.pick_many(arrays(), voxel_size=10.0)
    assert taken == []
    gate.set()
    next(results)
    time.sleep(0.5)  # long enough for many, if they were taken ahead
    # One handed out, one waiting to be, one in the queue, one opened ahead.
    assert taken[-1] <= 3
    assert len(list(results)) == 5
    assert taken == list(range(6))


def test_the_next_is_opened_while_the_network_is_busy(slow):
    picker, gate = slow
    told, computed = [], []
    second = threading.Event()

    def tell(advance):
        told.append((advance.number, advance.label, advance.stage))
        computed.append(advance.done)
        if (advance.number, advance.stage) == (1, "statistics"):
            second.set()

    given = [("a", noise(0)), ("b", noise(1))]
    results = picker.pick_many(given, voxel_size=10.0, progress=tell)
    taking = threading.Thread(target=list, args=(results,))
    taking.start()
    assert second.wait(20)
    assert not any(computed)
    gate.set()
    taking.join(20)
    assert told[0] == (0, "a", "statistics")
    assert told[-1] == (1, "b", "deduplicate")
    assert {number for number, _, stage in told if stage == "network"} == {0, 1}


def test_stopping_ends_soon_and_loses_nothing(slow):
    picker, gate = slow
    stop = threading.Event()

    def tell(advance):
        if (advance.number, advance.stage) == (2, "network"):
            stop.set()

    gate.set()
    got = []
    with pytest.raises(StoppedError):
        got.extend(
            one.number
            for one in picker.pick_many(
                (noise(k) for k in range(50)),
                voxel_size=10.0,
                stop=stop,
                progress=tell,
            )
        )
    assert left_over() == set()
    got = []
    stop.clear()  # a stopped picker picks again
    results = picker.pick_many([noise(0)], voxel_size=10.0, stop=stop)
    assert next(results).picks is not None
    assert not stop.is_set()


def test_results_before_a_stop_are_given(picker):
    stop = threading.Event()
    got = []

    def take():
        for one in picker.pick_many(
            (noise(k) for k in range(50)), voxel_size=10.0, stop=stop
        ):
            got.append(one.number)  # kept although what follows raises
            if one.number == 3:
                stop.set()

    with pytest.raises(StoppedError):
        take()
    assert got[:4] == [0, 1, 2, 3]
    assert len(got) <= 7


def test_leaving_the_loop_releases_everything(picker):
    before = open_files()
    results = picker.pick_many((noise(k) for k in range(50)), voxel_size=10.0)
    for _ in results:
        break
    results.close()
    assert left_over() == set()
    assert open_files() == before
    assert picker.pick(noise(0), 10.0) is not None


def test_what_the_callback_raises_ends_it(picker):
    def tell(advance):
        if advance.number == 1:
            raise KeyError(advance.number)

    results = picker.pick_many([noise(0), noise(1)], voxel_size=10.0, progress=tell)
    with pytest.raises(KeyError):
        list(results)
    assert left_over() == set()


def test_what_the_iterable_raises_surfaces(picker):
    def broken():
        yield noise(0)
        message = "disk gone"
        raise OSError(message)

    results = picker.pick_many(broken(), voxel_size=10.0)
    assert next(results).picks is not None  # what came before is not lost
    with pytest.raises(OSError, match="disk gone"):
        next(results)
    assert left_over() == set()


def test_a_tomogram_is_picked_while_the_iterable_waits_for_the_next(picker):
    """As behind a microscope: the next tomogram may be an hour away."""
    coming = queue.Queue()
    coming.put(("TS", noise(0)))
    stop = threading.Event()
    results = picker.pick_many(iter(coming.get, None), voxel_size=10.0, stop=stop)
    assert next(results).number == 0
    coming.put(("TS", noise(1)))
    assert next(results).number == 1
    threading.Timer(0.2, stop.set).start()
    start = time.perf_counter()
    with pytest.raises(StoppedError):
        next(results)
    assert time.perf_counter() - start < 5
    # The iterable has the word until it has something; then its thread ends too.
    coming.put(("TS", noise(2)))
    assert left_over() == set()


def test_two_threads_share_a_picker(picker, tomogram):
    alone = picker.pick(tomogram)
    found = []

    def run():
        found.extend(picker.pick_many([tomogram] * 3))

    both = [threading.Thread(target=run) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert len(found) == 6
    for one in found:
        assert_same(one.picks, alone)


def test_closing_the_picker_in_between_is_said(picker):
    results = picker.pick_many((noise(k) for k in range(9)), voxel_size=10.0)
    next(results)
    picker.close()
    rest = list(results)
    assert isinstance(rest[-1].error, DepError)
    assert "closed" in str(rest[-1].error)


def test_it_never_grows(picker, tomogram):
    """A hundred tomograms: no more memory, files or threads than after twenty."""
    page = os.sysconf("SC_PAGE_SIZE")

    def state():
        gc.collect()
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
        return resident, open_files(), threading.active_count()

    settled = None
    for one in picker.pick_many([tomogram] * 100):
        assert one.picks is not None
        if one.number == 20:
            settled = state()
    after = state()
    assert after[0] - settled[0] < 4 << 20
    assert after[1] <= settled[1]  # while it runs it holds two tomograms
    assert after[2] <= settled[2]


def test_results_that_nobody_takes_do_not_keep_a_process_alive(tiny_model):
    program = (
        "import sys, numpy as np\n"
        "from dep.engine import Picker\n"
        "picker = Picker(sys.argv[1])\n"
        "a = np.random.default_rng(0).normal(size=(24, 24, 24)).astype('f4')\n"
        "results = picker.pick_many([a] * 9, voxel_size=10.0)\n"
        "print(next(results).number)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tiny_model)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "0\n"
