"""What is wrong with the data of a training is all told, at once."""

import shutil
import tomllib

import mrcfile
import numpy as np
import pytest

from dep.train.config import ConfigError, load_config, parse_config
from dep.train.intake import load_data

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
COMPLETE = "fully_annotated = true\n"
SHAPE = (28, 36, 40)  # of the fixture's tomograms: z, y, x


class TestFaults:
    def test_all_are_in_one_message(self, run_files):
        """Wrong keys, files, headers and coordinates, none hidden by another."""
        folder = run_files.folder
        for name in ("short", "coarse", "bad", "away"):
            shutil.copy(folder / "tomo.mrc", folder / f"{name}.mrc")
            shutil.copy(folder / "tomo.csv", folder / f"{name}.csv")
        (folder / "short.mrc").write_bytes((folder / "tomo.mrc").read_bytes()[:9000])
        with mrcfile.open(folder / "coarse.mrc", mode="r+") as mrc:
            mrc.voxel_size = 12.0
        (folder / "bad.csv").write_text("class,x,y,z\na,1,2,nan\n")
        (folder / "away.csv").write_text("class,x,y,z\na,1,2,3\na,1,2,300\n")
        sources = ", ".join(
            f'{{ tomogram = "{name}.mrc", coordinates = "{name}.csv" }}'
            for name in ("none", "short", "coarse", "bad", "away", "held")
        )
        path = run_files.rewrite(
            (SOURCE, sources), ("steps = 6", "steps = 6\nspeed = 3")
        )
        with pytest.raises(ConfigError) as error:
            load_config(path)
        message = str(error.value)
        for part in (
            "training.speed",
            "none.mrc",
            "none.csv",
            "short.mrc: the file is truncated",
            "coarse.mrc: voxel size 12 Å, the configuration says 10 Å",
            "bad.csv: line 2, z: expected a number, found 'nan'",
            "away.csv: 1 of 2 centres lie outside",
            "held.mrc is both trained on and validated on",
        ):
            assert part in message
        # A class may be missing because a file could not be read: no such guess.
        assert "no particle" not in message

    def test_classes_without_particles(self, run_files):
        path = run_files.rewrite(('name = "b"', 'name = "B"'))
        with pytest.raises(ConfigError, match=r"class B: no particle.*hold b \(10\)"):
            load_config(path)

    def test_classes_that_are_not_configured_are_told(self, run_files):
        warnings = load_data(load_config(run_files.config)).warnings
        assert any("vesicle (2)" in line for line in warnings)

    def test_numbers_that_mean_no_class(self, run_files):
        (run_files.folder / "c.coords").write_text("7 1 2 3\n7 4 5 6\n")
        path = run_files.rewrite(("tomo.csv", "c.coords"), (COMPLETE, ""))
        with pytest.raises(ConfigError, match=r'class 7 \(2\).*say class = "NAME"'):
            load_config(path)

    def test_a_class_said_of_a_file_that_says_another(self, run_files):
        text = run_files.config.read_text()
        new = SOURCE.replace(" }", ', class = "x" }')
        with pytest.raises(ConfigError, match="'x' is not one of the classes"):
            parse_config(tomllib.loads(text.replace(SOURCE, new)), "config")
        new = SOURCE.replace(" }", ', class = "a" }')
        with pytest.raises(ConfigError, match=r"class = 'a'.*\(b, bead, vesicle\)"):
            load_config(run_files.rewrite((SOURCE, new)))

    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ("a,27,30,38\na,20,10,30", "x and z exchanged"),
            ("a,70,10,3\na,60,60,50\na,1,1,1", "binning = 2"),
            ("a,1,2,300\na,4,5,6\na,7,8,9", r"(?m)number 1 at \(1, 2, 300\)$"),
        ],
    )
    def test_centres_outside_and_why(self, run_files, rows, says):
        (run_files.folder / "tomo.csv").write_text(f"class,x,y,z\n{rows}\n")
        with pytest.raises(ConfigError, match=says):
            load_config(run_files.config)

    def test_voxels_that_are_not_finite_are_told_of_every_tomogram(self, run_files):
        config = load_config(run_files.config)
        for name in ("tomo", "held"):
            with mrcfile.new(run_files.folder / f"{name}.mrc", overwrite=True) as mrc:
                mrc.set_data(np.zeros(SHAPE, np.float32))
                mrc.voxel_size = 10.0
                mrc.data[3, 4, 5] = np.nan
        with pytest.raises(ConfigError, match=r"(?s)tomo\.mrc.*held\.mrc"):
            load_data(config)

    def test_a_header_without_voxel_size_takes_the_configurations(self, run_files):
        with mrcfile.open(run_files.folder / "tomo.mrc", mode="r+") as mrc:
            mrc.voxel_size = 0
        data = load_data(load_config(run_files.config))
        assert data.train[0].xyz.shape == (15, 3)
        assert any("10 Å are assumed" in line for line in data.warnings)

    def test_the_wrong_contrast_is_noticed(self, run_files):
        def told(path):
            warnings = load_data(load_config(path)).warnings
            return [line for line in warnings if "check contrast" in line]

        assert told(run_files.config) == []
        path = run_files.rewrite(('contrast = "dark"', 'contrast = "bright"'))
        assert len(told(path)) == 1
