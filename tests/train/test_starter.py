"""A first configuration holds what a folder holds, and trains once it is filled in."""

import shutil
import tomllib

import mrcfile
import numpy as np
import pytest

from dep.engine import ClassInfo, Picks
from dep.train.config import ConfigError, load_config
from dep.train.discovery import discover
from dep.train.intake import load_data
from dep.train.starter import write_starter

SHAPE = (28, 36, 40)  # z, y, x
XYZ = np.array([[20.25, 18.5, 14.75], [5, 30, 6], [33.5, 7, 21.25]])


@pytest.fixture
def folder(run_files):
    """A folder with one tomogram and no coordinates."""
    folder = run_files.folder / "grid [1]"
    folder.mkdir()
    shutil.copy(run_files.folder / "tomo.mrc", folder / "TS_01.mrc")
    return folder


def write_coords(path, xyz=XYZ, first=()):
    path.write_text("".join(" ".join(map(str, (*first, *row))) + "\n" for row in xyz))


def start(folder, out, **diameters):
    """Write a configuration, and give what it says."""
    write_starter(folder, out, diameters)
    return tomllib.loads(out.read_text())


class TestOneTomogram:
    def test_one_class_without_a_name(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords")
        values = start(folder, tmp_path / "first.toml", particle=70)
        assert values["voxel_size"] == 10.0
        assert values["classes"] == [{"name": "particle", "diameter": 70}]
        assert "split" not in values["data"]
        assert "validate_every" not in values["training"]  # there is nothing to
        assert values["labels"]["diameter"] == 7
        config = load_config(tmp_path / "first.toml")
        assert not config.network.coordinates
        assert config.network.stem_stride == 2
        assert config.network.head == "interpolated"
        (tomogram,) = load_data(config).train
        np.testing.assert_allclose(tomogram.xyz, XYZ)
        assert not tomogram.fully_annotated

    def test_labels_and_patches_fit_the_particles(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords")
        assert (
            start(folder, tmp_path / "a.toml", particle=45)["labels"]["diameter"] == 3
        )
        assert load_config(tmp_path / "a.toml").t_dist == 3
        values = start(folder, tmp_path / "b.toml", particle=270)
        assert values["labels"]["diameter"] == 7
        assert values["training"]["patch"] == 64
        load_config(tmp_path / "b.toml")

    def test_small_classes_among_others_have_smaller_labels(self, folder, tmp_path):
        (folder / "TS_01.csv").write_text("class,x,y,z\nbig,9,9,9\nsmall,20,20,20\n")
        start(folder, tmp_path / "a.toml", big=150, small=52)
        assert load_config(tmp_path / "a.toml").label_diameters == (7, 5)

    def test_a_class_that_is_not_listed_is_not_called_background(
        self, folder, tmp_path
    ):
        """Of what nobody annotated nothing is known, but for what [loss] says of it."""
        write_coords(folder / "TS_01.coords")
        values = start(folder, tmp_path / "a.toml", particle=45)
        assert values["data"]["fully_annotated"] is False
        text = (tmp_path / "a.toml").read_text()
        assert "as if nobody had annotated them" in text
        before, after = text.split("[loss]")
        assert "background" not in before
        assert values["loss"]["unannotated"] == "trimmed"
        assert "takes all but the tenth" in after.split("[augmentation]")[0]

    def test_diameters_that_are_not_given_must_be_filled_in(self, folder, tmp_path):
        (folder / "TS_01.csv").write_text("class,x,y,z\nbig,9,9,9\nsmall,20,20,20\n")
        _, missing = write_starter(folder, tmp_path / "a.toml", {"big": 150.0})
        assert missing == ["small"]
        with pytest.raises(
            ConfigError, match=r"1 fault.*\n.*classes\.1\.diameter.*'\?'"
        ):
            load_config(tmp_path / "a.toml")
        text = (tmp_path / "a.toml").read_text()
        (tmp_path / "a.toml").write_text(text.replace('"?"', "80"))
        load_config(tmp_path / "a.toml")

    def test_a_voxel_size_that_no_header_holds_must_be_filled_in(
        self, folder, tmp_path
    ):
        with mrcfile.open(folder / "TS_01.mrc", mode="r+") as mrc:
            mrc.voxel_size = 0
        write_coords(folder / "TS_01.coords")
        start(folder, tmp_path / "a.toml", particle=70)
        with pytest.raises(ConfigError, match=r"1 fault.*\n.*voxel_size.*fill it in"):
            load_config(tmp_path / "a.toml")

    @pytest.mark.parametrize(("sign", "contrast"), [(1, "dark"), (-1, "bright")])
    def test_the_contrast_is_seen(self, run_files, folder, tmp_path, sign, contrast):
        with mrcfile.open(folder / "TS_01.mrc", mode="r+") as mrc:
            mrc.data[:] = sign * mrc.data
        shutil.copy(run_files.folder / "tomo.csv", folder / "TS_01.csv")
        assert start(folder, tmp_path / "a.toml")["contrast"] == contrast

    def test_what_is_there_is_not_replaced(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords")
        (tmp_path / "a.toml").write_text("mine")
        with pytest.raises(ConfigError, match="exists already"):
            write_starter(folder, tmp_path / "a.toml", {})
        assert (tmp_path / "a.toml").read_text() == "mine"

    def test_a_diameter_of_no_class(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords")
        with pytest.raises(
            ConfigError, match=r"no class ribosme .*; it holds particle"
        ):
            write_starter(folder, tmp_path / "a.toml", {"ribosme": 1.0})
        assert not (tmp_path / "a.toml").exists()


class TestFiles:
    """However a folder says where particles are, the configuration reads the same."""

    def check(self, folder, tmp_path, classes):
        found, _ = write_starter(folder, tmp_path / "a.toml", {}, 70.0)
        assert found.classes == classes
        data = load_data(load_config(tmp_path / "a.toml"))
        (tomogram,) = data.train
        order = np.lexsort(tomogram.xyz.T)
        np.testing.assert_allclose(
            tomogram.xyz[order], XYZ[np.lexsort(XYZ.T)], atol=2e-3
        )
        return found, [classes[k - 1] for k in tomogram.class_id]

    def test_a_class_in_the_name_of_its_file(self, folder, tmp_path):
        (folder / "picks").mkdir()
        write_coords(folder / "picks/TS_01_ribosome.coords", XYZ[:2])
        text = "x,y,z\n" + "".join(",".join(map(str, row)) + "\n" for row in XYZ[2:])
        (folder / "picks/TS_01_fas.csv").write_text(text)
        _, labels = self.check(folder, tmp_path, ["fas", "ribosome"])
        assert sorted(labels) == ["fas", "ribosome", "ribosome"]

    def test_numbers_of_classes(self, folder, tmp_path):
        rows = [
            f"{k} {x} {y} {z}\n" for k, (x, y, z) in zip((2, 1, 2), XYZ, strict=True)
        ]
        (folder / "TS_01.coords").write_text("".join(rows))
        _, labels = self.check(folder, tmp_path, ["particle1", "particle2"])
        assert sorted(labels) == ["particle1", "particle2", "particle2"]

    def test_one_class_of_any_number(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords", XYZ, first=(7,))
        self.check(folder, tmp_path, ["particle7"])

    @pytest.mark.parametrize("form", ["relion5", "star", "csv"])
    def test_picks_of_dep(self, folder, tmp_path, form):
        picks = Picks(
            xyz=XYZ,
            class_id=[2, 1, 1],
            score=[0.9, 0.8, 0.7],
            classes=(ClassInfo("z", 70.0), ClassInfo("a", 90.0)),
            tomogram="TS_01",
            shape=SHAPE,
            voxel_size=10.0,
        )
        picks.write(folder / f"x{'.csv' if form == 'csv' else '.star'}", form)
        _, labels = self.check(folder, tmp_path, ["a", "z"])
        assert sorted(labels) == ["a", "z", "z"]

    def test_relion_4_brings_its_binning(self, folder, tmp_path):
        rows = "".join(f"TS_01 {x} {y} {z}\n" for x, y, z in XYZ * 8)
        (folder / "particles.star").write_text(
            "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnTomoTiltSeriesPixelSize #2\n"
            "1 1.25\n\ndata_particles\n\nloop_\n_rlnTomoName #1\n_rlnCoordinateX #2\n"
            f"_rlnCoordinateY #3\n_rlnCoordinateZ #4\n{rows}"
        )
        self.check(folder, tmp_path, ["particle"])
        assert "binning = 8 " in (tmp_path / "a.toml").read_text()

    def test_the_same_picks_in_two_formats_count_once(self, folder, tmp_path):
        picks = Picks(
            xyz=XYZ,
            class_id=[1, 1, 1],
            score=[0.9, 0.8, 0.7],
            classes=(ClassInfo("a", 70.0),),
            tomogram="TS_01",
            shape=SHAPE,
            voxel_size=10.0,
        )
        for suffix in (".csv", ".star"):
            picks.write(folder / f"TS_01{suffix}")
        found, _ = self.check(folder, tmp_path, ["a"])
        assert any("again" in line for line in found.remarks)

    def test_what_is_passed_over_is_told(self, folder, tmp_path):
        write_coords(folder / "TS_01.coords")
        write_coords(folder / "elsewhere.coords")
        (folder / "TS_01.csv").write_text("nonsense\n")
        (folder / "broken.mrc").write_text("nonsense")
        shutil.copy(folder / "TS_01.mrc", folder / "TS_02.mrc")
        for name in ("TS_03.mrc", "TS_04.mrc"):
            shutil.copy(folder / "TS_01.mrc", folder / name)
        with mrcfile.open(folder / "TS_03.mrc", mode="r+") as mrc:
            mrc.voxel_size = 20.0
        found, _ = self.check(folder, tmp_path, ["particle"])
        told = "\n".join(found.remarks)
        for part in (
            "elsewhere.coords: no centres of any tomogram here",
            "TS_01.csv: no column",
            "broken.mrc: not an MRC file",
            "TS_03.mrc: left out, its voxels have 20 Å, others 10 Å",
            "no coordinates for TS_02.mrc, TS_04.mrc",
        ):
            assert part in told

    def test_nothing_to_train_on(self, folder, tmp_path):
        with pytest.raises(ConfigError, match=r"1 tomograms, and no coordinates"):
            discover(folder)
        (tmp_path / "empty").mkdir()
        with pytest.raises(ConfigError, match="no tomograms"):
            discover(tmp_path / "empty")
        with pytest.raises(ConfigError, match="no such folder"):
            discover(tmp_path / "none")


def test_many_tomograms_are_split(run_files, folder, tmp_path):
    for k in range(1, 6):
        if k > 1:
            shutil.copy(folder / "TS_01.mrc", folder / f"TS_0{k}.mrc")
        shutil.copy(run_files.folder / "tomo.csv", folder / f"TS_0{k}.csv")
    start(folder, tmp_path / "a.toml", a=60, b=90, bead=80, vesicle=400)
    text = (tmp_path / "a.toml").read_text()
    data = load_data(load_config(tmp_path / "a.toml"))
    assert len(data.train) == 4
    assert len(data.validate) == 1
    assert "5 tomograms" in text
