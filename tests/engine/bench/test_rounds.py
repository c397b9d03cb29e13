"""What `dep bench` measures is what it says it is: the calls, in turns."""

from types import SimpleNamespace

import numpy as np
import pytest

from dep.engine import Picker, SettingError
from dep.engine.bench import Contender, Entrant, Subject, measure, rounds, run
from dep.engine.bench.fresh import ColdStart, Fresh
from dep.engine.bench.measure import network_alone, tile_calls
from dep.engine.bench.memory import Memory
from dep.engine.model_file import read_card
from dep.engine.runtime.gpu import GpuRuntime
from dep.engine.tile_planner import Tiling as TileChoice

TILES = 4 * 4 * 3  # of the tomogram and the model of the fixtures


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
