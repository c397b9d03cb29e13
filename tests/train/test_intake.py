"""What a training takes in is what its files say."""

import shutil

import numpy as np
import pytest

from dep.engine import Picks
from dep.engine.card import ClassInfo
from dep.train.config import ConfigError, load_config
from dep.train.intake import load_data
from dep.train.labels import UNKNOWN
from dep.train.sections import DataSection
from dep.train.survey import survey

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
COMPLETE = "fully_annotated = true\n"
SHAPE = (28, 36, 40)  # of the fixture's tomograms: z, y, x


def columns(**named):
    """Write the rows of one STAR loop."""
    tags = "".join(f"_{name} #{k}\n" for k, name in enumerate(named, start=1))
    rows = zip(*named.values(), strict=True)
    return "loop_\n" + tags + "".join(" ".join(map(str, row)) + "\n" for row in rows)


class TestCoordinates:
    """The same places, said in the convention of every program."""

    XYZ = np.array([[20.25, 18.5, 14.75], [3, 30, 5], [39.4, 0, 27.25], [0, 35, 0]])
    IDS = (1, 2, 3, 1)
    CLASSES = ("a", "bead", "b")

    def read(self, run_files, name, text, **source):
        if text is not None:
            (run_files.folder / name).write_text(text)
        data = DataSection(
            train=[
                {
                    "tomogram": run_files.folder / "tomo.mrc",
                    "coordinates": run_files.folder / name,
                    **source,
                }
            ]
        )
        found = survey(data, self.CLASSES, 10.0)
        faults = [line for line in found.faults if "no particle in any" not in line]
        assert faults == []
        return found.parts["train"][0]

    def agree(self, found):
        np.testing.assert_allclose(found.xyz, self.XYZ, atol=1e-4)
        assert tuple(found.class_id) == self.IDS

    def test_csv(self, run_files):
        rows = [
            f"{['a', 'bead', 'b'][k - 1]},{x},{y},{z}"
            for k, (x, y, z) in zip(self.IDS, self.XYZ, strict=True)
        ]
        self.agree(self.read(run_files, "c.csv", "\n".join(["class,x,y,z", *rows])))

    @pytest.mark.parametrize("form", ["copick", "portal"])
    def test_folders_with_a_file_for_each_class(self, run_files, form):
        classes = tuple(ClassInfo(name, 100.0) for name in self.CLASSES)
        picks = Picks(
            self.XYZ,
            np.array(self.IDS),
            np.ones(4),
            classes,
            "tomo",
            shape=SHAPE,
            voxel_size=10.0,
        )
        picks.write(run_files.folder / "annotated", form)
        found = self.read(run_files, "annotated", None)
        order = np.lexsort(found.xyz.T)  # files go by their classes
        expected = np.lexsort(self.XYZ.T)
        np.testing.assert_allclose(found.xyz[order], self.XYZ[expected], atol=1e-4)
        assert [found.class_id[k] for k in order] == [self.IDS[k] for k in expected]

    def test_an_empty_folder_is_a_fault(self, run_files):
        (run_files.folder / "annotated").mkdir()
        path = run_files.rewrite(("tomo.csv", "annotated"))
        with pytest.raises(ConfigError, match="annotated: "):
            load_data(load_config(path))

    def test_coords_with_classes(self, run_files):
        rows = zip(self.IDS, *self.XYZ.T, strict=True)
        text = "\n".join("\t".join(map(str, row)) for row in rows)
        self.agree(self.read(run_files, "c.coords", text))

    @pytest.mark.parametrize("name", ["c.coords", "c.csv"])
    def test_places_alone_take_the_class_of_their_entry(self, run_files, name):
        mark = "," if name == "c.csv" else " "
        head = ["x,y,z"] if name == "c.csv" else []
        rows = [mark.join(map(str, row)) for row in self.XYZ]
        found = self.read(run_files, name, "\n".join([*head, *rows]), **{"class": "b"})
        np.testing.assert_allclose(found.xyz, self.XYZ)
        assert set(found.class_id) == {3}

    def test_warp_and_relion_3_count_in_tomogram_pixels(self, run_files):
        x, y, z = self.XYZ.T
        text = "data_\n\n" + columns(
            rlnMicrographName=["tomo.tomostar"] * 4,
            rlnCoordinateX=x,
            rlnCoordinateY=y,
            rlnCoordinateZ=z,
            rlnClassNumber=self.IDS,
        )
        self.agree(self.read(run_files, "c.star", text))

    def relion_4(self, pixel):
        x, y, z = self.XYZ.T * 4
        optics = columns(
            rlnOpticsGroup=[1],
            rlnOpticsGroupName=["g"],
            rlnTomoTiltSeriesPixelSize=[pixel],
        )
        particles = columns(
            rlnTomoName=["tomo"] * 4,
            rlnCoordinateX=x,
            rlnCoordinateY=y,
            rlnCoordinateZ=z,
            rlnClassNumber=self.IDS,
            rlnOpticsGroup=[1] * 4,
        )
        return f"data_optics\n\n{optics}\ndata_particles\n\n{particles}"

    def test_relion_4_counts_in_unbinned_pixels(self, run_files):
        self.agree(self.read(run_files, "c.star", self.relion_4(2.5), binning=4))

    def test_a_binning_that_the_optics_deny_is_refused(self, run_files):
        with pytest.raises(AssertionError, match=r"set binning = 4 \(found 1\)"):
            self.read(run_files, "c.star", self.relion_4(2.5))

    def test_relion_5_counts_in_angstrom_from_the_centre(self, run_files):
        x, y, z = ((self.XYZ - np.array(SHAPE[::-1]) / 2) * 10.0).T
        text = "data_particles\n\n" + columns(
            rlnTomoName=["rec_tomo"] * 4,
            rlnCenteredCoordinateXAngst=x,
            rlnCenteredCoordinateYAngst=y,
            rlnCenteredCoordinateZAngst=z,
            rlnClassNumber=self.IDS,
        )
        # Ångström are ångström, whatever the binning.
        self.agree(self.read(run_files, "c.star", text, binning=4))

    def test_numbers_count_in_the_files_own_class_table(self, run_files):
        from dep.engine import ClassInfo, Picks

        picks = Picks(
            xyz=self.XYZ,
            class_id=[3, 1, 2, 3],
            score=[0.9, 0.8, 0.7, 0.6],
            classes=(ClassInfo("bead", 1), ClassInfo("b", 1), ClassInfo("a", 1)),
            tomogram="tomo",
            shape=SHAPE,
            voxel_size=10.0,
        )
        for form in ("relion5", "star"):
            path = picks.write(run_files.folder / "picks.star", form)
            self.agree(self.read(run_files, "c.star", path.read_text()))
            # Though it is the only class of the configuration, it is not number 1.
            found = survey(
                DataSection(
                    train=[
                        {
                            "tomogram": run_files.folder / "tomo.mrc",
                            "coordinates": path,
                        }
                    ]
                ),
                ("b",),
                10.0,
            ).parts["train"][0]
            np.testing.assert_allclose(found.xyz, self.XYZ[2:3], atol=1e-4)

    def test_files_of_one_tomogram_add_up(self, run_files):
        rows = [" ".join(map(str, row)) for row in self.XYZ]
        for k in range(4):
            (run_files.folder / f"{k}.coords").write_text(rows[k])
        names = ["a", "bead", "b", "a"]
        sources = ", ".join(
            f'{{ tomogram = "tomo.mrc", coordinates = "{k}.coords", class = "{name}" }}'
            for k, name in enumerate(names)
        )
        config = load_config(run_files.rewrite((SOURCE, sources)))
        (tomogram,) = load_data(config).train
        np.testing.assert_allclose(tomogram.xyz, self.XYZ, rtol=1e-6)
        assert tuple(tomogram.class_id) == self.IDS


class TestManyTomograms:
    @pytest.fixture
    def many(self, run_files):
        """Copy the tomogram four times, each with one file of centres."""
        for k in range(4):
            for suffix in (".mrc", ".csv"):
                shutil.copy(
                    run_files.folder / f"tomo{suffix}",
                    run_files.folder / f"TS_{k}{suffix}",
                )
        return run_files

    def test_a_pattern_and_a_template(self, many):
        new = '{ tomogram = "TS_*.mrc", coordinates = "{name}.csv" }'
        data = load_data(load_config(many.rewrite((SOURCE, new))))
        assert [one.name for one in data.train] == ["TS_0", "TS_1", "TS_2", "TS_3"]
        assert all(len(one.xyz) == 15 for one in data.train)

    def test_a_pattern_below_a_folder_with_brackets(self, many, tmp_path):
        folder = tmp_path / "grid [1]*"
        shutil.copytree(many.folder, folder, ignore=shutil.ignore_patterns("grid*"))
        new = '{ tomogram = "TS_*.mrc", coordinates = "{name}.csv" }'
        (folder / "config.toml").write_text(
            (folder / "config.toml").read_text().replace(SOURCE, new)
        )
        assert len(load_data(load_config(folder / "config.toml")).train) == 4

    def test_tomograms_without_coordinates_are_left_out_and_told(self, many):
        (many.folder / "TS_2.csv").unlink()
        new = '{ tomogram = "TS_*.mrc", coordinates = "{name}.csv" }'
        data = load_data(load_config(many.rewrite((SOURCE, new))))
        assert [one.name for one in data.train] == ["TS_0", "TS_1", "TS_3"]
        assert any("1 of 4" in line and "TS_2.csv" in line for line in data.warnings)

    def test_one_file_names_many(self, many):
        rows = ["tomogram,class,x,y,z"]
        for k in range(3):
            rows += [f"TS_{k}.mrc,{name},{k + 1},2,3" for name in ("a", "bead", "b")]
        (many.folder / "all.csv").write_text("\n".join(rows))
        new = '{ tomogram = "TS_*.mrc", coordinates = "all.csv" }'
        data = load_data(load_config(many.rewrite((SOURCE, new))))
        assert [one.name for one in data.train] == ["TS_0", "TS_1", "TS_2"]
        assert [one.xyz[0, 0] for one in data.train] == [1, 2, 3]
        assert any("no centres of TS_3" in line for line in data.warnings)

    def test_a_file_that_names_none_cannot_be_shared(self, many):
        new = '{ tomogram = "TS_*.mrc", coordinates = "tomo.csv" }'
        with pytest.raises(ConfigError, match="4 tomograms share it"):
            load_config(many.rewrite((SOURCE, new)))

    def test_a_file_of_others(self, many):
        (many.folder / "all.csv").write_text(
            "tomogram,class,x,y,z\nTS_8,a,1,2,3\nTS_9,a,1,2,3\n"
        )
        for tomogram in ("TS_*.mrc", "tomo.mrc"):
            new = f'{{ tomogram = "{tomogram}", coordinates = "all.csv" }}'
            text = many.config.read_text()
            with pytest.raises(ConfigError, match="TS_8, TS_9"):
                load_config(many.rewrite((SOURCE, new)))
            many.config.write_text(text)

    @pytest.mark.parametrize(
        ("rows", "pattern", "says"),
        [
            ("TS_0,a,1,2,3\n,a,1,2,3", "TS_0.mrc", "1 rows name no tomogram"),
            ("TS_0,a,1,2,3", "**/TS_0.mrc", "several tomograms are called TS_0;"),
        ],
    )
    def test_rows_that_could_be_anyones(self, many, rows, pattern, says):
        (many.folder / "other").mkdir()
        shutil.copy(many.folder / "TS_0.mrc", many.folder / "other/TS_0.mrc")
        (many.folder / "all.csv").write_text(f"tomogram,class,x,y,z\n{rows}\n")
        new = f'{{ tomogram = "{pattern}", coordinates = "all.csv" }}'
        with pytest.raises(ConfigError, match=says):
            load_config(many.rewrite((SOURCE, new)))

    def test_full_annotation_is_said_for_all_or_for_one(self, many):
        new = (
            '{ tomogram = "TS_[01].mrc", coordinates = "{name}.csv" }, '
            '{ tomogram = "TS_2.mrc", coordinates = "{name}.csv", '
            "fully_annotated = true }"
        )
        path = many.rewrite((SOURCE, new), (COMPLETE, ""))
        data = load_data(load_config(path))
        assert [one.fully_annotated for one in data.train] == [False, False, True]
        path = many.rewrite(("[data]", f"[data]\n{COMPLETE}"))
        assert all(one.fully_annotated for one in load_data(load_config(path)).train)

    def test_nothing_is_known_away_from_the_particles_of_a_partial_annotation(
        self, run_files
    ):
        (complete,) = load_data(load_config(run_files.config)).train
        assert UNKNOWN not in complete.labels
        (partial,) = load_data(load_config(run_files.rewrite((COMPLETE, "")))).train
        known = partial.labels != UNKNOWN
        assert (partial.labels[known] == complete.labels[known]).all()
        z, y, x = np.indices(SHAPE)
        near = np.zeros(SHAPE, bool)
        for (cx, cy, cz), k in zip(partial.xyz, partial.class_id, strict=True):
            radius = (3, 4, 4.5)[k - 1]  # voxels, of the configuration's diameters
            near |= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 <= radius**2
        assert (known == near | (complete.labels > 0)).all()

    def test_an_empty_tomogram_counts_when_fully_annotated(self, many):
        (many.folder / "TS_2.csv").write_text("class,x,y,z\n")
        new = '{ tomogram = "TS_*.mrc", coordinates = "{name}.csv" }'
        with pytest.raises(ConfigError, match="no centre of any configured class"):
            load_config(many.rewrite((SOURCE, new), (COMPLETE, "")))
        path = many.rewrite(("[data]", f"[data]\n{COMPLETE}"))
        empty = load_data(load_config(path)).train[2]
        assert len(empty.xyz) == 0
        assert not empty.labels.any()
