"""What a training takes in is what its files say, and what is wrong is all told."""

import shutil
import tomllib

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine import Picks
from dep.engine.card import ClassInfo
from dep.train.advice import LEAST, MOST, fitting_voxels, largest_label, size_warnings
from dep.train.config import ConfigError, load_config, parse_config
from dep.train.intake import load_data
from dep.train.labels import UNKNOWN
from dep.train.sections import ClassSection, DataSection
from dep.train.sources import list_pairs, match_names, same_name
from dep.train.survey import survey

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
COMPLETE = "fully_annotated = true\n"
SHAPE = (28, 36, 40)  # of the fixture's tomograms: z, y, x


def with_text(run_files, *changes):
    """Change the configuration's text and return its path."""
    text = run_files.config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    run_files.config.write_text(text)
    return run_files.config


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
        path = with_text(run_files, ("tomo.csv", "annotated"))
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
        config = load_config(with_text(run_files, (SOURCE, sources)))
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
        data = load_data(load_config(with_text(many, (SOURCE, new))))
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
        data = load_data(load_config(with_text(many, (SOURCE, new))))
        assert [one.name for one in data.train] == ["TS_0", "TS_1", "TS_3"]
        assert any("1 of 4" in line and "TS_2.csv" in line for line in data.warnings)

    def test_one_file_names_many(self, many):
        rows = ["tomogram,class,x,y,z"]
        for k in range(3):
            rows += [f"TS_{k}.mrc,{name},{k + 1},2,3" for name in ("a", "bead", "b")]
        (many.folder / "all.csv").write_text("\n".join(rows))
        new = '{ tomogram = "TS_*.mrc", coordinates = "all.csv" }'
        data = load_data(load_config(with_text(many, (SOURCE, new))))
        assert [one.name for one in data.train] == ["TS_0", "TS_1", "TS_2"]
        assert [one.xyz[0, 0] for one in data.train] == [1, 2, 3]
        assert any("no centres of TS_3" in line for line in data.warnings)

    def test_a_file_that_names_none_cannot_be_shared(self, many):
        new = '{ tomogram = "TS_*.mrc", coordinates = "tomo.csv" }'
        with pytest.raises(ConfigError, match="4 tomograms share it"):
            load_config(with_text(many, (SOURCE, new)))

    def test_a_file_of_others(self, many):
        (many.folder / "all.csv").write_text(
            "tomogram,class,x,y,z\nTS_8,a,1,2,3\nTS_9,a,1,2,3\n"
        )
        for tomogram in ("TS_*.mrc", "tomo.mrc"):
            new = f'{{ tomogram = "{tomogram}", coordinates = "all.csv" }}'
            text = many.config.read_text()
            with pytest.raises(ConfigError, match="TS_8, TS_9"):
                load_config(with_text(many, (SOURCE, new)))
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
            load_config(with_text(many, (SOURCE, new)))

    def test_full_annotation_is_said_for_all_or_for_one(self, many):
        new = (
            '{ tomogram = "TS_[01].mrc", coordinates = "{name}.csv" }, '
            '{ tomogram = "TS_2.mrc", coordinates = "{name}.csv", '
            "fully_annotated = true }"
        )
        path = with_text(many, (SOURCE, new), (COMPLETE, ""))
        data = load_data(load_config(path))
        assert [one.fully_annotated for one in data.train] == [False, False, True]
        path = with_text(many, ("[data]", f"[data]\n{COMPLETE}"))
        assert all(one.fully_annotated for one in load_data(load_config(path)).train)

    def test_nothing_is_known_away_from_the_particles_of_a_partial_annotation(
        self, run_files
    ):
        (complete,) = load_data(load_config(run_files.config)).train
        assert UNKNOWN not in complete.labels
        (partial,) = load_data(load_config(with_text(run_files, (COMPLETE, "")))).train
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
            load_config(with_text(many, (SOURCE, new), (COMPLETE, "")))
        path = with_text(many, ("[data]", f"[data]\n{COMPLETE}"))
        empty = load_data(load_config(path)).train[2]
        assert len(empty.xyz) == 0
        assert not empty.labels.any()


class TestSplit:
    @given(
        many=st.integers(1, 12),
        validate=st.floats(0, 0.9),
        seed=st.integers(0, 5),
        data=st.data(),
    )
    def test_it_shares_out_all_and_leaves_some_to_train(
        self, tmp_path_factory, many, validate, seed, data
    ):
        test = data.draw(st.floats(0, 0.95 - validate))
        folder = tmp_path_factory.getbasetemp() / f"split{many}"
        folder.mkdir(exist_ok=True)
        for k in range(many):
            (folder / f"{k}.mrc").touch()
            (folder / f"{k}.csv").touch()
        entries = [
            {"tomogram": folder / f"{k}.mrc", "coordinates": folder / "{name}.csv"}
            for k in range(many)
        ]
        split = {"validate": validate, "test": test, "seed": seed}

        def names(entries):
            found = list_pairs(DataSection(train=entries, split=split))
            assert found.faults == []
            return {part: {p.name for p in ps} for part, ps in found.parts.items()}

        parts = names(entries)
        assert names(entries[::-1]) == parts
        assert sum(map(len, parts.values())) == many
        assert set.union(*parts.values()) == {str(k) for k in range(many)}
        assert parts["train"]
        if many > 1 and validate > 0:
            assert abs(len(parts["validate"]) - validate * many) <= 1
        assert bool(parts["validate"]) == (many > 1 and validate > 0)
        assert parts["test"] == set() or test > 0

    def test_the_seed_chooses(self, run_files):
        for k in range(6):
            shutil.copy(run_files.folder / "tomo.mrc", run_files.folder / f"{k}.mrc")
            shutil.copy(run_files.folder / "tomo.csv", run_files.folder / f"{k}.csv")
        entry = {
            "tomogram": run_files.folder / "[0-5].mrc",
            "coordinates": run_files.folder / "{name}.csv",
        }
        chosen = {
            list_pairs(DataSection(train=[entry], split={"seed": seed}))
            .parts["validate"][0]
            .name
            for seed in range(20)
        }
        assert len(chosen) > 2

    def test_one_tomogram_is_trained_on_and_it_is_said(self, run_files):
        path = with_text(
            run_files,
            (
                'validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]',
                "split = { validate = 0.2 }",
            ),
        )
        data = load_data(load_config(path))
        assert [one.name for one in data.train] == ["tomo"]
        assert data.validate == []
        assert any("too few to split" in line for line in data.warnings)

    def test_two_ways_to_split_are_refused(self, run_files):
        path = with_text(run_files, ("[data]", "[data]\nsplit = { validate = 0.2 }"))
        with pytest.raises(ConfigError, match=r"both validate and split\.validate"):
            load_config(path)


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
        path = with_text(
            run_files, (SOURCE, sources), ("steps = 6", "steps = 6\nspeed = 3")
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
        path = with_text(run_files, ('name = "b"', 'name = "B"'))
        with pytest.raises(ConfigError, match=r"class B: no particle.*hold b \(10\)"):
            load_config(path)

    def test_classes_that_are_not_configured_are_told(self, run_files):
        warnings = load_data(load_config(run_files.config)).warnings
        assert any("vesicle (2)" in line for line in warnings)

    def test_numbers_that_mean_no_class(self, run_files):
        (run_files.folder / "c.coords").write_text("7 1 2 3\n7 4 5 6\n")
        path = with_text(run_files, ("tomo.csv", "c.coords"), (COMPLETE, ""))
        with pytest.raises(ConfigError, match=r'class 7 \(2\).*say class = "NAME"'):
            load_config(path)

    def test_a_class_said_of_a_file_that_says_another(self, run_files):
        text = run_files.config.read_text()
        new = SOURCE.replace(" }", ', class = "x" }')
        with pytest.raises(ConfigError, match="'x' is not one of the classes"):
            parse_config(tomllib.loads(text.replace(SOURCE, new)), "config")
        new = SOURCE.replace(" }", ', class = "a" }')
        with pytest.raises(ConfigError, match=r"class = 'a'.*\(b, bead, vesicle\)"):
            load_config(with_text(run_files, (SOURCE, new)))

    @pytest.mark.parametrize(
        ("rows", "says"),
        [
            ("a,27,30,38\na,20,10,30", "x and z exchanged"),
            ("a,70,10,3\na,60,60,50\na,1,1,1", "binning = 2"),
            ("a,1,2,300\na,4,5,6\na,7,8,9", r"number 1 at \(1, 2, 300\)$"),
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
        path = with_text(run_files, ('contrast = "dark"', 'contrast = "bright"'))
        assert len(told(path)) == 1


class TestNames:
    @pytest.mark.parametrize(
        ("name", "bare"),
        [
            ("TS_01", "TS_01"),
            ("tomograms/TS_01.mrc", "TS_01"),
            ("C:\\data\\TS_01.rec.gz", "TS_01"),
            ("TS_01.tomostar", "TS_01"),
            ("TS_01.mrc.tomostar", "TS_01"),
            ("v1.5", "v1.5"),
        ],
    )
    def test_folder_and_suffix_do_not_count(self, name, bare):
        assert same_name(name) == bare

    def test_a_word_of_the_tomograms_name_is_enough(self):
        tomograms = ["rec_TS_01", "TS_02_13.48Apx", "TS_03", "TS_033"]
        named = ["TS_01.tomostar", "TS_02", "TS_03", "TS_3"]
        assert match_names(tomograms, named) == {
            "rec_TS_01": "TS_01.tomostar",
            "TS_02_13.48Apx": "TS_02",
            "TS_03": "TS_03",
            "TS_033": None,
        }

    def test_the_longest_name_counts_and_no_other_tomograms_own(self):
        assert match_names(["TS_1_2"], ["TS_1", "TS_1_2.mrc"])["TS_1_2"] == "TS_1_2.mrc"
        assert match_names(["r_TS_1_2"], ["TS_1", "TS_1_2"])["r_TS_1_2"] == "TS_1_2"
        assert match_names(["TS_1", "TS_1_2"], ["TS_1"]) == {
            "TS_1": "TS_1",
            "TS_1_2": None,
        }

    def test_what_could_be_two_is_neither(self):
        both = ["TS_1_even", "TS_1_odd"]
        assert match_names(both, ["TS_1"]) == dict.fromkeys(both, both)

    @given(st.lists(st.text("ab1_", min_size=1, max_size=4), unique=True))
    def test_every_tomogram_finds_its_own_name(self, names):
        assert match_names(names, names) == {name: name for name in names}


class TestAdvice:
    def sections(self, *widths, report=True):
        return [
            ClassSection(name=f"w{width:g}", diameter=width * 5, report=report)
            for width in widths
        ]

    def test_sizes_that_train_well_are_passed_over(self):
        assert size_warnings(self.sections(7, 8.6, 25), [7, 7, 7], 5.0) == []

    def test_the_binning_that_fits_is_named(self):
        (line,) = size_warnings(self.sections(30.5, 60.5), [7, 7], 5.0)
        assert "w30.5 (30.5), w60.5 (60.5)" in line
        assert "binning by 3 more would fit (voxels of 15 Å)" in line
        (line,) = size_warnings(self.sections(5), [3], 5.0)
        assert "binning 3 times less would fit (voxels of 1.667 Å)" in line

    def test_even_widths_and_wide_labels_of_unreported_classes(self):
        (line,) = size_warnings(self.sections(14), [7], 5.0)
        assert "even number of voxels: w14 (14)" in line
        (line,) = size_warnings(self.sections(7.5, report=False), [9], 5.0)
        assert "wider than the particles" in line

    @given(st.lists(st.floats(1, 400), min_size=1, max_size=4))
    def test_a_binning_that_is_named_does_fit(self, widths):
        words = fitting_voxels(widths, 1.0)
        if "voxels of " in words and "no one" not in words:
            size = float(words.split("voxels of ")[1].split()[0])
            assert min(widths) / size >= LEAST * 0.999
            assert max(widths) / size <= MOST * 1.001
        else:
            assert max(widths) / min(widths) > 2  # no factor fits all of these

    @given(st.floats(3, 40))
    def test_the_largest_label_is_odd_and_inside(self, width):
        label = largest_label(width)
        assert label % 2 == 1
        assert 3 <= label <= 7
        assert label <= width + 1e-6
        assert label + 2 > min(width, 7)
