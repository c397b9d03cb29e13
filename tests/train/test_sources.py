"""Tomograms are shared out by names and a seed, and find their coordinates by name."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.train.config import ConfigError, load_config
from dep.train.intake import load_data
from dep.train.sections import DataSection
from dep.train.sources import list_pairs, match_names, same_name

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
COMPLETE = "fully_annotated = true\n"
SHAPE = (28, 36, 40)  # of the fixture's tomograms: z, y, x


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
        path = run_files.rewrite(
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
        path = run_files.rewrite(("[data]", "[data]\nsplit = { validate = 0.2 }"))
        with pytest.raises(ConfigError, match=r"both validate and split\.validate"):
            load_config(path)


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
