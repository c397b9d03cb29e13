"""What `dep bench` measures is what it says it is."""

import errno
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dep.engine import DepError, Picker, Picks, SettingError, TomogramError, open_volume
from dep.engine.bench import (
    Contender,
    Entrant,
    Subject,
    made_up,
    matmul,
    measure,
    rounds,
    run,
)
from dep.engine.bench.compare import Ratio, agreement, compare
from dep.engine.bench.figures import Tiling, figures
from dep.engine.bench.fresh import ColdStart, Fresh, measure_fresh
from dep.engine.bench.measure import Turn, network_alone, stats_of, tile_calls
from dep.engine.bench.memory import Memory
from dep.engine.card import ClassInfo
from dep.engine.model_file import read_card
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.stats import PickStats
from dep.engine.tile_planner import Tiling as TileChoice
from dep.engine.tiles import plan_tiles

TILES = 4 * 4 * 3  # of the tomogram and the model of the fixtures


@pytest.fixture(scope="module")
def subject(make_tomogram, tmp_path_factory):
    path = tmp_path_factory.mktemp("tomogram") / "TS_01.mrc"
    make_tomogram(path)
    return Subject(path=path)


class Recorder:
    """A runtime that keeps what it is given, and moves a clock."""

    name, device, precision, threads = "fake 1", "cpu", "f32", 2

    def __init__(self, function, batch=1, seconds=0.0):
        self.function = function
        self.batch = batch
        self.seconds = seconds
        self.now = 0.0
        self.given = []

    def infer(self, tiles):
        self.given.append(tiles.copy())
        self.now += self.seconds
        return self.function(tiles)

    def interrupt(self):
        pass

    def close(self):
        pass


@pytest.fixture
def picker_with(tiny_model, scores_of):
    """Give a function that opens the tiny model with a recording runtime."""
    pytest.importorskip("onnxruntime")

    def make(**options):
        picker = Picker(tiny_model, runtime="onnxruntime")
        picker.runtime.close()
        picker.runtime = Recorder(scores_of, **options)
        return picker

    return make


@pytest.mark.parametrize("batch", [1, 5])
def test_the_calls_alone_are_those_of_a_pick(picker_with, subject, batch):
    picker = picker_with(batch=batch)
    subject.pick(picker)
    whole, picker.runtime.given = picker.runtime.given, []
    network_alone(picker, subject)
    assert [len(one) for one in picker.runtime.given] == [len(one) for one in whole]
    for mine, theirs in zip(picker.runtime.given, whole, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert sum(map(len, whole)) == TILES


def test_only_the_calls_count(picker_with, subject, monkeypatch):
    picker = picker_with(seconds=1.0)
    runtime = picker.runtime
    fill = measure.TileReader.fill

    def slow(reader, tiles, batch):
        runtime.now += 1000.0
        fill(reader, tiles, batch)

    monkeypatch.setattr(measure.TileReader, "fill", slow)
    monkeypatch.setattr(measure, "perf_counter", lambda: runtime.now)
    assert network_alone(picker, subject) == TILES
    assert tile_calls(picker, subject, 2) == [1.0, 1.0]
    assert len(tile_calls(picker, subject, 1000)) == TILES


def test_on_a_device_scores_stay_there(simulated, scores_of, tiny_model, subject):
    gpu = simulated.gpu()
    stream = gpu.stream()
    card = read_card(tiny_model)
    computed = []

    def scores(tiles):
        computed.append(len(tiles))
        return scores_of(tiles)

    network = simulated.network(scores, "f32")
    runtime = GpuRuntime(network, stream, card, batch=5, threads=1)
    computed.clear()  # it has tried itself out
    picker = SimpleNamespace(card=card, runtime=runtime, tiling=TileChoice(card))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(stream), "download", None)
        assert network_alone(picker, subject) > 0
    assert sum(computed) == TILES
    runtime.close()


def stats(total=10.0, network=8.0, **changes):
    fields = {
        **dict.fromkeys(("open", "statistics", "read", "assemble", "mp_nms"), 0.5),
        "deduplicate": 0.25,
        "tiles": 4,
        "tile": (10, 10, 10),
        "margin": 1,
        "computed_voxels": 4000,
        "owned_voxels": 2000,
        "candidates": 1,
        "runtime": "fake 1",
        "device": "cpu",
        "precision": "f32",
        "threads": 2,
    }
    return PickStats(**{**fields, "total": total, "network": network, **changes})


TILING = Tiling(4, (10, 10, 10), 1, 4000, 2000)


def test_figures_are_medians_of_rounds():
    turns = [
        Turn(stats(total=10, network=8), 5.0),
        Turn(stats(total=12, network=9), 12.0),
        Turn(stats(total=50, network=49), 8.0),
    ]
    found = figures(turns, TILING, 100, 400.0)
    assert found.seconds["total"] == 12
    assert found.seconds["network"] == 9
    assert found.seconds["read"] == 0.5
    assert found.alone == 8
    # Of the rounds' ratios 2, 1 and 6.25, not of the medians 12 and 8.
    assert found.whole_by_alone == Ratio(2.0, 1.0, 6.25)
    assert found.outside == pytest.approx(0.2)  # of 0.2, 0.25 and 0.02
    assert found.voxels_per_second == 2000 / 12
    assert found.operations == 2 * 100 * 4
    assert found.operations_per_second == 800 / 8
    assert found.share_of_matmul == 0.25
    assert TILING.overhead == 2


def test_what_is_not_known_is_not_made_up():
    found = figures([Turn(stats(), 5.0)], TILING, None, None)
    assert found.operations is None
    assert found.operations_per_second is None
    assert found.share_of_matmul is None
    assert figures([Turn(stats(), 5.0)], TILING, 1, None).share_of_matmul is None


def test_tilings_are_those_of_plans():
    plan = plan_tiles((30, 40, 50), (24, 20, 22), 3)
    tiling = Tiling.of(plan)
    assert tiling.tile == (24, 20, 22)
    assert tiling.margin == 3
    assert tiling.tiles == len(plan)
    assert tiling.overhead == len(plan) * 24 * 20 * 22 / (30 * 40 * 50)


def picks_of(xyz, class_id, names=("a", "b")):
    return Picks(
        xyz=np.reshape(xyz, (-1, 3)),
        class_id=class_id,
        score=np.ones(len(class_id)),
        classes=tuple(ClassInfo(name, 50.0) for name in names),
        tomogram="t",
    )


def test_agreement_pairs_picks_by_place_and_classes_by_name():
    first = picks_of([[0, 0, 0], [20, 0, 0], [40, 0, 0]], [1, 2, 1])
    second = picks_of(
        [[1, 0, 0], [20, 0, 2], [46, 0, 0], [60, 0, 0]], [2, 2, 2, 1], "ba"
    )
    found = agreement(first, second, 5.0)
    assert found.rates.hits == 2
    assert found.f1 == pytest.approx(2 * 2 / 7)
    assert found.same_class == 1  # "a" is 1 there and 2 here
    assert found.mean_distance == pytest.approx(1.5)
    assert agreement(first, second, 6.0).rates.hits == 3


def test_nothing_agrees_with_nothing():
    none = picks_of([], [])
    found = agreement(none, none, 5.0)
    assert found.f1 is None
    assert found.mean_distance is None
    assert agreement(none, picks_of([[0, 0, 0]], [1]), 5.0).f1 == 0


def test_ratios_are_of_pairs():
    first = [Turn(stats(total=t, network=t / 2), t / 4) for t in (1.0, 2.0, 8.0)]
    second = [Turn(stats(total=t, network=t), t) for t in (2.0, 6.0, 8.0)]
    none = picks_of([], [])
    found = compare(first, second, agreement(none, none, 5.0))
    assert found.whole == Ratio(2.0, 1.0, 3.0)  # of the medians: 6 / 2
    assert found.network == Ratio(4.0, 2.0, 6.0)
    assert found.alone == Ratio(8.0, 4.0, 12.0)


FRESH = Fresh(ColdStart(*[1.0] * 6, None), Memory())


@pytest.fixture
def no_processes(monkeypatch):
    """Measure without other processes; give the threads that rates were asked for."""
    asked = []
    monkeypatch.setattr(rounds, "measure_fresh", lambda *_: FRESH)
    monkeypatch.setattr(
        rounds, "matmul_rate", lambda threads: asked.append(threads) or 1e9
    )
    return asked


def test_two_take_turns_and_change_places(picker_with, subject, no_processes):
    entrants = [Entrant(Contender(), picker_with(batch=b)) for b in (1, 3)]
    steps = []
    result = run(entrants, subject, 3, lambda *step: steps.append(step))
    assert [number for _, number, _ in steps] == list(range(1, len(steps) + 1))
    assert {of for _, _, of in steps} == {len(steps)}
    words = [what for what, _, _ in steps]
    assert [w for w in words if "round" not in w] == words[:4]
    per_round = [
        [w.partition(": ")[2] for w in words if f"round {k} of 3" in w]
        for k in (1, 2, 3)
    ]
    a = ["A, picking", "A, network alone"]
    b = ["B, picking", "B, network alone"]
    rate = ["matrix products"]
    assert per_round == [rate + a + b, rate + b[::-1] + a[::-1], rate + a + b]
    assert no_processes == [2, 2, 2]  # both have two threads
    # Warm-up and rounds: four picks and three times the calls alone.
    assert sum(map(len, entrants[1].picker.runtime.given)) == 7 * TILES
    first, second = result.measured
    assert (first.batch, second.batch) == (1, 3)
    assert len(first.turns) == len(second.turns) == 3
    assert first.multiply_adds == 3 * 27 * 24**3
    assert first.figures.operations == 2 * 3 * 27 * 24**3 * TILES
    assert first.figures.matmul == 1e9
    # The same function computed both.
    assert result.comparison.agreement.f1 == 1
    assert result.comparison.agreement.mean_distance == 0


def test_one_has_nobody_to_compare_with(picker_with, subject, no_processes):
    result = run([Entrant(Contender(), picker_with())], subject, 1)
    assert result.comparison is None
    document = result.to_dict()
    assert document["comparison"] is None
    assert document["rounds"] == 1
    assert no_processes == [2]


def test_processors_are_not_held_against_devices(picker_with, subject, no_processes):
    picker = picker_with()
    picker.runtime.device = "cuda"
    result = run([Entrant(Contender(), picker)], subject, 1)
    assert result.measured[0].figures.matmul is None
    assert len(no_processes) <= 1


@pytest.mark.usefixtures("no_processes")
def test_resampled_picks_pair_within_what_the_network_saw(
    make_model, make_tomogram, tmp_path
):
    pytest.importorskip("onnxruntime")
    model = make_model(tmp_path / "coarse.onnx", voxel_size=20.0)
    make_tomogram(tmp_path / "t.mrc")
    subject = Subject(path=tmp_path / "t.mrc", rescale=True)
    contender = Contender(model=model, runtime="onnxruntime")
    with contender.open() as picker:
        result = run([Entrant(contender, picker)] * 2, subject, 1)
    # t_dist is 4 voxels of 20 Å: 8 of the tomogram's 10 Å.
    assert result.comparison.agreement.reach == pytest.approx(8.0)
    assert result.measured[0].tiling.owned_voxels < 32 * 40 * 44 / 4


@pytest.mark.parametrize(("many", "times"), [(0, 1), (3, 1), (1, 0)])
def test_what_makes_no_sense_is_refused(many, times, subject):
    with pytest.raises(SettingError, match="one or two models"):
        run([None] * many, subject, times)


def test_picks_that_were_read_have_no_times():
    with pytest.raises(DepError, match="nothing is known"):
        stats_of(picks_of([], []))


# A process of its own.


def test_a_new_process_tells_its_start_and_its_memory(tiny_model, subject):
    pytest.importorskip("openvino")
    contender = Contender(model=tiny_model, runtime="openvino", threads=1)
    told = measure_fresh(contender, subject, "openvino")
    start = told.cold_start
    parts = start.to_dict()
    assert all(seconds >= 0 for seconds in parts.values())
    assert start.load > 0.001  # OpenVINO is not loaded in less
    assert start.total == pytest.approx(
        sum(parts.values()) - parts["second"] - parts["total"]
    )
    memory = told.memory
    if memory.source == "picking":
        assert 0 < memory.opened <= memory.peak
        assert memory.above == memory.peak - memory.opened


def test_what_fails_there_is_told_here(tmp_path, subject):
    missing = Contender(model=tmp_path / "none.onnx")
    with pytest.raises(DepError, match=r"none\.onnx: no such model file"):
        measure_fresh(missing, subject, "openvino")


@pytest.mark.parametrize(
    ("status", "err", "words"),
    [
        (-9, "", "SIGKILL; was there memory enough"),
        (-15, "", "SIGTERM"),
        (1, "Traceback\nImportError: no\n\n", "ImportError: no"),
        (3, "", "ended with status 3"),
        (0, "it says\nnothing", "nothing"),
    ],
)
def test_a_process_that_dies_is_an_error(status, err, words, subject, monkeypatch):
    done = subprocess.CompletedProcess([], status, "not JSON", err)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(DepError, match=words):
        measure_fresh(Contender(), subject, "openvino")


def test_matrix_products_have_the_threads_they_are_given(monkeypatch):
    seen = {}

    def fake(words, env, **_):
        seen.update(env)
        return subprocess.CompletedProcess(words, 0, "2.5e9", "")

    monkeypatch.setattr(subprocess, "run", fake)
    assert matmul.matmul_rate(3) == 2.5e9
    assert {seen[name] for name in matmul.THREADS} == {"3"}
    assert "PATH" in seen or "PATH" not in os.environ


@pytest.mark.parametrize(("status", "out"), [(1, "1"), (0, ""), (0, "?")])
def test_a_rate_that_cannot_be_had_is_none(status, out, monkeypatch):
    done = subprocess.CompletedProcess([], status, out, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert matmul.matmul_rate(1) is None


def test_a_product_is_two_operations_for_each_multiply_add(monkeypatch):
    clock = iter([0, 4, 10, 11, 20, 22, 30, 32])  # the best of 4, 1 and 2 seconds
    monkeypatch.setattr(matmul, "EDGE", 8)
    monkeypatch.setattr(matmul, "perf_counter", lambda: next(clock))
    assert matmul.fastest() == 2 * 8**3 / 1


# Made-up tomograms.


def test_noise_is_a_tomogram_until_it_is_no_longer_needed(tiny_model):
    card = read_card(tiny_model)
    with made_up((6, 10, 14), card) as subject:
        assert subject.made_up
        with open_volume(subject.path) as volume:
            assert volume.shape == (6, 10, 14)
            assert volume.voxel_size == pytest.approx(card.voxel_size)
            assert volume.warnings == ()
            voxels = np.array(volume.array)
        assert voxels.dtype == np.float32
        assert abs(voxels.mean()) < 0.2
        assert 0.8 < voxels.std() < 1.2
        assert not np.array_equal(voxels[0], voxels[1])
    assert not subject.path.exists()


def test_noise_that_does_not_fit_is_an_error(tiny_model, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def fail(*_):
        raise full

    monkeypatch.setattr("dep.engine.bench.subject._write_noise", fail)
    with (
        pytest.raises(TomogramError, match=r"No space left.*TMPDIR"),
        made_up((4, 4, 4), read_card(tiny_model)),
    ):
        pass


def test_contenders_open_with_what_they_say(tiny_model):
    pytest.importorskip("onnxruntime")
    one = Contender(model=tiny_model, runtime="onnxruntime", threads=1, batch=3)
    with one.open() as picker:
        assert picker.runtime.name.startswith("onnxruntime")
        assert (picker.runtime.threads, picker.runtime.batch) == (1, 3)
    assert Path(one.options()["model"]) == tiny_model
    assert Contender(**one.options()).options() == one.options()
    assert replace(one, model=None).options()["model"] is None
