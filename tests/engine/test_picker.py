"""A model opened once picks many tomograms, and says clearly when it cannot."""

import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dep.engine import (
    DepError,
    DeviceError,
    Picker,
    SettingError,
    TomogramError,
    VoxelSizeError,
)
from dep.engine.resample import ResampledVolume
from dep.engine.volume import Volume
from dep.engine.voxel_frame import fit_voxel_size
from dep.kernels.cuda import cupy_device

DARK = [(10, 12, 14), (30, 28, 12)]  # the balls of the tomogram, x, y, z
BRIGHT = [(28, 10, 20)]


@pytest.fixture(scope="module")
def tomogram(make_tomogram, tmp_path_factory):
    path = tmp_path_factory.mktemp("tomogram") / "TS_01.mrc"
    make_tomogram(path)
    return path


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def picker(request, tiny_model):
    pytest.importorskip(request.param)
    with Picker(tiny_model, runtime=request.param) as one:
        yield one


def sorted_xyz(picks, label):
    xyz = picks.xyz[picks.class_id == label]
    return xyz[np.lexsort(xyz.T)]


def assert_found(picks, dark=DARK, bright=BRIGHT, atol=0.6):
    for label, centres in ((1, dark), (2, bright)):
        expected = np.array(sorted(centres, key=lambda c: c[::-1]))
        np.testing.assert_allclose(sorted_xyz(picks, label), expected, atol=atol)


def test_particles_are_found_where_they_are(picker, tomogram):
    picks = picker.pick(tomogram)
    assert_found(picks)
    assert picks.tomogram == "TS_01"
    assert picks.shape == (32, 40, 44)
    assert picks.voxel_size == 10.0
    assert picks.classes == picker.card.classes
    assert picks.model.name == "balls"
    assert picks.model.weights_digest == picker.card.weights_digest
    assert picks.settings.t_seg == picker.card.t_seg
    assert picks.warnings == ()
    assert (np.diff(picks.score) <= 0).all()
    assert ((picks.score > 0) & (picks.score <= 1)).all()


def test_stats_say_what_it_took(picker, tomogram):
    stats = picker.pick(tomogram).stats
    assert stats.tiles == 4 * 4 * 3
    assert stats.computed_voxels == stats.tiles * 24**3
    assert stats.owned_voxels == 32 * 40 * 44
    assert stats.runtime == picker.runtime.name
    assert (stats.device, stats.precision) == ("cpu", "f32")
    assert stats.candidates >= 3
    seconds = stats.seconds()
    assert all(value >= 0 for value in seconds.values())
    assert max(seconds.values()) <= seconds["total"]


def test_runtimes_agree(tiny_model, tomogram):
    pytest.importorskip("openvino")
    pytest.importorskip("onnxruntime")
    found = []
    for runtime in ("openvino", "onnxruntime"):
        for batch in (1, 5):
            with Picker(tiny_model, runtime=runtime, batch=batch, threads=1) as one:
                found.append(one.pick(tomogram))
    for other in found[1:]:
        np.testing.assert_allclose(other.xyz, found[0].xyz, atol=0.05)
        np.testing.assert_array_equal(other.class_id, found[0].class_id)
        np.testing.assert_allclose(other.score, found[0].score, atol=0.01)


def test_an_array_picks_like_its_file(picker, tomogram):
    import mrcfile

    picks = picker.pick(mrcfile.read(tomogram), 10.0, name="mine")
    assert picks.tomogram == "mine"
    np.testing.assert_array_equal(picks.xyz, picker.pick(tomogram).xyz)
    with pytest.raises(VoxelSizeError, match="voxel_size="):
        picker.pick(mrcfile.read(tomogram))


def test_inverting_swaps_dark_and_bright(picker, tomogram):
    assert_found(picker.pick(tomogram, invert=True), dark=BRIGHT, bright=DARK)


def test_settings_overrule_the_card(picker, tomogram):
    picks = picker.pick(tomogram, t_seg=0.9, t_lm=0.2, t_dist=30.0, iterations=1)
    chosen = picks.settings
    assert (chosen.t_seg, chosen.t_lm, chosen.t_dist) == (0.9, 0.2, 30.0)
    assert chosen.iterations == 1
    assert len(picks) < 3


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"t_seg": 0.0}, "t_seg: expected a number between 0 and 1, found 0"),
        ({"t_seg": float("nan")}, "t_seg: expected"),
        ({"t_lm": 2}, "t_lm: expected a number above 0"),
        ({"t_dist": -1}, "t_dist: expected a number of voxels"),
        ({"iterations": 14}, "iterations: expected whole numbers from 1 to 13"),
        ({"iterations": (2, 2)}, "finds all classes jointly"),
    ],
)
def test_settings_out_of_range(picker, tomogram, wrong, words):
    with pytest.raises(SettingError, match=words):
        picker.pick(tomogram, **wrong)


def test_one_count_for_each_class(make_model, tomogram, tmp_path):
    model = make_model(tmp_path / "m.onnx", assembly="per_class", iterations=(2, 2))
    with Picker(model) as one:
        assert_found(one.pick(tomogram))
        assert one.pick(tomogram, iterations=(1, 3)).settings.iterations == (1, 3)
        with pytest.raises(SettingError, match="3 values for 2 classes"):
            one.pick(tomogram, iterations=(1, 2, 3))


def test_progress_goes_from_statistics_to_deduplication(picker, tomogram):
    seen = []
    picker.pick(tomogram, progress=lambda *now: seen.append(now))
    assert seen[0] == (0, 48, "statistics")
    assert seen[-1] == (48, 48, "deduplicate")
    assert {stage for _, _, stage in seen[1:-1]} == {"network"}


def test_nothing_found_is_a_warning(picker):
    noise = np.random.default_rng(0).normal(size=(20, 20, 20)).astype("f4")
    picks = picker.pick(noise, 10.0)
    assert len(picks) == 0
    assert picks.xyz.shape == (0, 3)
    assert "nothing was found" in picks.warnings[0]
    assert "--invert" in picks.warnings[0]


class TestVoxelSize:
    def test_within_5_percent_is_taken_as_it_is(self, picker, tomogram):
        for size in (9.6, 10.4):
            assert picker.pick(tomogram, size).voxel_size == size

    @pytest.mark.parametrize("size", [9.4, 10.6, 5.0, 20.0])
    def test_beyond_5_percent_is_refused(self, picker, tomogram, size):
        with pytest.raises(VoxelSizeError) as caught:
            picker.pick(tomogram, size)
        for word in (
            str(tomogram),
            f"{size:g} Å",
            "10 Å",
            "--rescale",
            "--ignore-voxel-size",
        ):
            assert word in str(caught.value)

    def test_ignored_on_request(self, picker, tomogram):
        picks = picker.pick(tomogram, 20.0, ignore_voxel_size=True)
        assert_found(picks)
        assert picks.voxel_size == 20.0
        assert "20 Å" in picks.warnings[0]

    def test_unknown_and_ignored_is_the_model_s(self, picker, make_tomogram, tmp_path):
        make_tomogram(tmp_path / "a.mrc", voxel_size=0.0)
        with pytest.raises(VoxelSizeError, match="--voxel-size"):
            picker.pick(tmp_path / "a.mrc")
        picks = picker.pick(tmp_path / "a.mrc", ignore_voxel_size=True)
        assert picks.voxel_size == 10.0

    @pytest.mark.parametrize("binning", [0.5, 0.8, 1.3])
    def test_rescaled_picks_are_in_the_tomogram_s_own_voxels(self, picker, binning):
        """The same balls, drawn at another voxel size, are found where they are."""
        rng = np.random.default_rng(1)
        factor = 1 / binning
        shape = tuple(round(n * factor) for n in (32, 40, 44))
        grid = np.indices(shape) / factor
        field = rng.normal(0, 0.3, shape)
        for centres, value in ((DARK, -12.0), (BRIGHT, 12.0)):
            for x, y, z in centres:
                field[
                    (grid[0] - z) ** 2 + (grid[1] - y) ** 2 + (grid[2] - x) ** 2 < 9
                ] += value
        picks = picker.pick(field.astype("f4"), 10.0 * binning, rescale=True)
        assert picks.settings.rescale
        assert picks.shape == shape
        assert picks.voxel_size == 10.0 * binning
        scaled = [
            [tuple(np.array(c) * factor) for c in many] for many in (DARK, BRIGHT)
        ]
        assert_found(picks, *scaled, atol=max(0.8 * factor, 0.8))

    def test_coarser_voxels_are_mentioned(self, picker):
        noise = np.random.default_rng(0).normal(size=(10, 10, 10)).astype("f4")
        picks = picker.pick(noise, 15.0, rescale=True)
        assert any("coarser" in one for one in picks.warnings)

    @pytest.mark.parametrize("found", [0.1, 1000.0, 1e-30, 1e30])
    def test_no_voxel_size_of_another_unit_is_resampled(self, picker, found):
        volume = Volume(np.zeros((9, 9, 9), "f4"), found)
        with pytest.raises(
            VoxelSizeError, match=r"Expected 0\.4 to 100 Å: is the unit"
        ):
            fit_voxel_size(volume, picker.card, rescale=True, ignore=False)

    def test_rescaling_to_the_same_size_reads_the_tomogram_itself(
        self, picker, tomogram
    ):
        from dep.engine import open_volume

        with open_volume(tomogram) as volume:
            source, _ = fit_voxel_size(volume, picker.card, rescale=True, ignore=False)
            assert source is volume
        with open_volume(tomogram, 9.8) as volume:
            source, _ = fit_voxel_size(volume, picker.card, rescale=True, ignore=False)
            assert isinstance(source, ResampledVolume)


def test_a_tomogram_that_fails_does_not_spoil_the_next(picker, tomogram, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"bad")
    with pytest.raises(TomogramError, match=r"bad\.mrc"):
        picker.pick(tmp_path / "bad.mrc")
    constant = np.zeros((8, 8, 8), "f4")
    with pytest.raises(TomogramError, match=r"flat: all 512 voxels"):
        picker.pick(constant, 10.0, name="flat")
    assert_found(picker.pick(tomogram))


def test_a_failure_of_the_runtime_names_the_tomogram(tiny_model, tomogram, fake):
    with Picker(tiny_model) as one:
        one.runtime.close()
        one.runtime = fake(failure=DeviceError("out of memory"), after=2)
        with pytest.raises(DeviceError, match=r"TS_01\.mrc: out of memory"):
            one.pick(tomogram)
        one.runtime = fake(failure=MemoryError())
        with pytest.raises(TomogramError, match=r"TS_01\.mrc: not enough memory"):
            one.pick(tomogram)


@pytest.mark.parametrize(
    "stage", ["open_volume", "fit_voxel_size", "measure", "deduplicate", "Picks"]
)
@pytest.mark.parametrize("detail", ["Unable to allocate 9 GiB", ""])
def test_a_lack_of_memory_anywhere_names_the_tomogram(
    tiny_model, tomogram, monkeypatch, stage, detail
):
    def fail(*_args, **_kwargs):
        raise MemoryError(*([detail] if detail else []))

    monkeypatch.setattr(f"dep.engine.job.{stage}", fail)
    words = f"not enough memory to pick it ({detail or 'out of memory'})"
    with Picker(tiny_model) as one:
        with pytest.raises(TomogramError, match=rf"TS_01\.mrc: {re.escape(words)}"):
            one.pick(tomogram)
        with pytest.raises(TomogramError, match="mine: not enough memory"):
            one.pick(np.arange(64).reshape(4, 4, 4), 10.0, name="mine")


def test_kernels_that_are_not_to_be_had_are_refused_at_once(tiny_model, monkeypatch):
    cupy_device.default_device.cache_clear()
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if not installed
    with pytest.raises(DeviceError, match=r"kernels cuda: .*need CuPy"):
        Picker(tiny_model, kernels="cuda")
    with pytest.raises(SettingError, match="kernels: expected one of auto, reference"):
        Picker(tiny_model, kernels="gpu")
    monkeypatch.setitem(sys.modules, "dep.kernels._c", None)  # as if never built
    for kernels in ("auto", "c"):
        with pytest.raises(DeviceError, match=r"core dep\.kernels\._c does not load"):
            Picker(tiny_model, kernels=kernels)
    Picker(tiny_model, kernels="reference").close()


def test_threads_share_a_picker(picker, tomogram):
    expected = picker.pick(tomogram)
    found = {}

    def work(number):
        found[number] = picker.pick(tomogram)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 4
    for picks in found.values():
        np.testing.assert_array_equal(picks.xyz, expected.xyz)
        np.testing.assert_array_equal(picks.score, expected.score)


def test_a_closed_picker_says_so(tiny_model, tomogram):
    one = Picker(tiny_model)
    one.close()
    one.close()
    with pytest.raises(DepError, match=r"TS_01\.mrc: the picker is closed"):
        one.pick(tomogram)


def test_half_precision_weights(tmp_path, tomogram, make_model):
    """Weights stored as float16 with a Cast before their use."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path = make_model(tmp_path / "m.onnx")
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        half = numpy_helper.to_array(tensor).astype(np.float16)
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
        cast = helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    onnx.save(model, str(path))
    for runtime in ("openvino", "onnxruntime"):
        pytest.importorskip(runtime)
        with Picker(path, runtime=runtime) as one:
            assert_found(one.pick(tomogram))


def test_the_development_tomograms_open_and_pick(shared_data, tiny_model):
    with Picker(tiny_model) as one:
        path = shared_data / "tomograms" / "tomo_0009.mrc"
        from dep.engine import open_volume

        with open_volume(path) as volume:
            crop = volume.read(0, 48)[:, :64, :64]
            picks = one.pick(crop, volume.voxel_size, t_seg=0.3)
    assert picks.shape == (48, 64, 64)


def test_an_interrupt_ends_the_process_soon(tiny_model):
    code = (
        "import numpy as np\n"
        "from dep.engine import Picker\n"
        "noise = np.random.default_rng(0).normal(size=(160, 200, 200)).astype('f4')\n"
        "tell = lambda done, total, stage: done == 3 and print('go', flush=True)\n"
        f"Picker({str(tiny_model)!r}).pick(noise, 10.0, progress=tell)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell may have told its children to ignore interrupts; ours must not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGINT)
    start = time.perf_counter()
    _, error = process.communicate(timeout=30)
    assert time.perf_counter() - start < 5
    assert process.returncode in (-signal.SIGINT, 130)
    assert error.count("KeyboardInterrupt") == 1
