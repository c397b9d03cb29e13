"""No fault of a configuration hides another, and none is told that is not sure."""

import contextlib
import copy
import tomllib

import mrcfile
import pytest

from dep.train.config import ConfigError, load_config, parse_config

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'
HELD = 'validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]'
LEARNED = 'head = "interpolated"\nstem_stride = 1'
SPLIT = "split = { validate = 0.6, test = 0.5 }"


def told(run_files, *changes):
    """Give what is said of a configuration that was changed."""
    with pytest.raises(ConfigError) as error:
        load_config(run_files.rewrite(*changes))
    return str(error.value)


class TestNothingIsHidden:
    """One wrong value or key leaves all others to be judged."""

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("patch = 16", "patch = 18", "training.patch must be a multiple of 4"),
            ("tile = 24", "tile = 30", "picking.tile must be a multiple of 4"),
            ("margin = 4", "margin = 12", "leaves nothing"),
            ('name = "b"', 'name = "a"', "named twice: a"),
            ("diameter = 60 }", "diameter = 30 }", "class a (3.0 voxels)"),
            ("stem_stride = 2", LEARNED, "needs stem_stride = 2"),
            ('name = "tiny"', 'name = "ti\\nny"', "name: expected a non-empty line"),
            (HELD, f"{HELD}\n{SPLIT}", "leave nothing to train on"),
            (HELD, f"{HELD}\n{SPLIT}", "both validate and split.validate"),
            ("held.csv", "none.csv", "none.csv"),
        ],
    )
    @pytest.mark.parametrize(
        ("where", "wrong", "keys"),
        [
            ("seed = 3", "seed = 3\nlr = 3", ["training.lr"]),
            ("[data]", "[data]\nparts = 2", ["data.parts"]),
            ("diameter = 80,", "diameter = 80, hue = 1,", ["classes.1.hue"]),
            ("voxel_size = 10.0", "voxel_size = 10.0\nhost = 1", ["host"]),
            (
                "threads = 1",
                'threads = "x"\nloggers = ["x"]\nbetas = [2, 3]',
                ["training.threads", "training.loggers.0", "training.betas.1"],
            ),
        ],
    )
    def test_by_a_wrong_value(self, run_files, where, wrong, keys, old, new, says):
        message = told(run_files, (where, wrong), (old, new))
        for part in (says, *(f"\n  {key}: " for key in keys)):
            assert part in message

    def test_not_files_and_centres_by_a_wrong_entry(self, run_files):
        (run_files.folder / "tomo.csv").write_text("class,x,y,z\na,1,2,300\n")
        (run_files.folder / "held.csv").unlink()
        wrong = ('name = "bead", diameter = 80, report = false', 'colour = "x"')
        message = told(run_files, wrong)
        for part in (
            "classes.1.name: Field required",
            "classes.1.diameter: Field required",
            "classes.1.colour: unknown; expected diameter, label_diameter, name",
            "tomo.csv: 1 of 1 centres lie outside",
            "held.csv",
        ):
            assert part in message
        assert "no particle" not in message  # which classes there are is not known

    def test_by_a_table_that_is_missing_or_none(self, run_files):
        text = run_files.config.read_text()
        start, end = text.index("[training]"), text.index("[picking]")
        message = told(run_files, (text[start:end], ""), ("margin = 4", "margin = 12"))
        assert "training: Field required" in message
        assert "leaves nothing" in message
        run_files.config.write_text("training = 3\nclasses = []\ndata = [1]\n")
        with pytest.raises(ConfigError) as error:
            load_config(run_files.config)
        for key in ("name", "voxel_size", "classes", "data", "training", "picking"):
            assert f"\n  {key}: " in str(error.value)
        assert str(error.value).startswith(f"{run_files.config}: 7 faults:")

    def test_sizes_that_train_badly_come_last_and_are_no_faults(self, run_files):
        message = told(run_files, ("steps = 6", "steps = 0"))
        lines = message.split("\n  ")
        assert lines[0].endswith(": 1 fault:")
        assert lines[1].startswith("training.steps: ")
        assert lines[2].startswith("warning: particles outside 7 to 25 voxels")
        assert "binning 2 times less would fit" in lines[2]
        assert lines[3].startswith("warning: particles of an even number of voxels")
        lines = told(run_files, ("diameter = 60", 'diameter = "?"')).split("\n  ")
        assert [line for line in lines if "a (" in line] == []
        assert "bead (8)" in lines[-1]

    def test_what_else_is_wrong_is_asked_for(self, run_files):
        path = run_files.rewrite(("steps = 6", "steps = 0"))
        with pytest.raises(
            ConfigError, match=r"2 faults:\n  training\.steps.*\n  tiny"
        ):
            load_config(path, also=lambda config: [config.name])


class TestNothingIsGuessed:
    """What a wrong value may have meant is not held against the rest."""

    @pytest.mark.parametrize(
        ("old", "new", "other"),
        [
            ("patch = 16", "patch = -18", "multiple"),
            ("widths = [4, 8]", "widths = [4, 0, 8, 9, 9]", "multiple"),
            ("tile = 24", 'tile = "x"', "leaves nothing"),
            ("voxel_size = 10.0", "voxel_size = 0", "voxels"),
            ('name = "b"', "name = 3", "no particle"),
            ("fully_annotated = true", "binning = -100", "outside"),
        ],
    )
    def test_of_a_wrong_value(self, run_files, old, new, other):
        message = told(run_files, (old, new))
        assert new.split(" = ")[0] in message
        assert other not in message.split("warning:")[0]

    def test_a_class_is_absent_only_where_all_rows_were_read(self, run_files):
        rename = ('name = "b"', 'name = "B"')
        absent = "class B: no particle in any training tomogram; the files also hold b"
        wrong = ("steps = 6", "steps = 0")
        assert absent in told(run_files, rename, wrong)
        for lost in ("held.mrc", "held.csv"):  # of the validation
            (run_files.folder / lost).unlink()
            assert absent in told(run_files)
        # The rows are there, whatever is wrong with the voxels.
        tomogram, rows = (run_files.folder / f"tomo.{end}" for end in ("mrc", "csv"))
        with mrcfile.open(tomogram, mode="r+") as mrc:
            mrc.voxel_size = 12.0
        assert absent in told(run_files)
        tomogram.unlink()
        message = told(run_files)
        assert absent in message
        assert f"no such file {tomogram}" in message
        kept = rows.read_text()
        for lost in (kept.replace("a,1,", "a,1,x", 1), None):
            rows.unlink() if lost is None else rows.write_text(lost)
            assert "no particle" not in told(run_files)

    def test_a_wrong_entry_may_hold_the_class(self, run_files):
        message = told(
            run_files,
            ('name = "b"', 'name = "B"'),
            (SOURCE, f'{SOURCE}, {{ tomogram = "x.mrc", coordinates = 3 }}'),
        )
        assert "data.train.1.coordinates" in message
        assert "no particle" not in message
        message = told(run_files, (f"{SOURCE}, ", ""))
        assert "data.train.0.coordinates" in message
        assert message.count("data.train") == 1  # not that none are left as well


def test_a_key_that_is_unknown_is_met_with_those_that_are_known(run_files):
    message = told(
        run_files,
        ("steps = 6", "steps = 6\nlerning_rate = 1"),
        ("[data]", "[data]\nsplit = { part = 1 }"),
        ('coordinates = "held.csv"', 'coordinates = "held.csv", clas = "a"'),
        ("[labels]", "[labelling]\n\n[labels]"),
    )
    for part in (
        "training.lerning_rate: unknown (is learning_rate meant?); expected batch, ",
        "data.split.part: unknown; expected seed, test, validate",
        "data.validate.0.clas: unknown (is class meant?); expected binning, class, ",
        "\n  labelling: unknown (is labels meant?); expected augmentation, classes, ",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ([("batch = 2", "batch = 1"), ("patch = 16", "patch = 4")], False),
        ([("batch = 2", "batch = 2"), ("patch = 16", "patch = 4")], True),
        ([("batch = 2", "batch = 1"), ("patch = 16", "patch = 8")], True),
    ],
)
def test_batch_normalisation_needs_two_values(run_files, changes, fits):
    if fits:
        load_config(run_files.rewrite(*changes))
    else:
        assert "set batch = 2 or more, or patch = 8 or more" in told(
            run_files, *changes
        )


def places(values, path=()):
    """Name every value of nested tables and lists."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("junk", [-1, "x", "", [], {}, [{"a": 1}], [[3]], 1e30, True])
def test_whatever_stands_somewhere_there_is_no_traceback(run_files, junk):
    values = tomllib.loads(run_files.config.read_text())
    for *path, last in places(values):
        wrong = copy.deepcopy(values)
        table = wrong
        for key in path:
            table = table[key]
        table[last] = junk
        with contextlib.suppress(ConfigError):  # no other; some values are right
            parse_config(wrong, "config")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seed = 3", f"seed = {10**30}", "training.seed: "),
        ("threads = ", f"threads = {10**11} # ", "training.threads: "),
        ("seed = 3", "seed = 3\ndevices = 0", "training.devices: "),
        ("batch = ", f"batch = {10**20} # ", "training.batch: "),
        ("patch = 16", f"patch = {16 * 10**9}", "training.patch: "),
        ("margin = 4", "margin = 4\niterations = 0", "picking.iterations: "),
        ("voxel_size = 10.0", "voxel_size = 5e-324", "voxel_size: "),
        ("voxel_size = 10.0", "voxel_size = 1e30", "voxel_size: "),
        ("tomo.mrc", "to\\u0000mo.mrc", "data.train.0.tomogram: a path holds no null"),
        ("tomo.csv", f"{'o' * 300}.csv", "data.train.0.coordinates: a name in a path"),
    ],
)
def test_what_no_machine_takes_is_one_fault_of_its_own(run_files, old, new, says):
    """Beside another, which it does not hide."""
    text = told(run_files, (old, new), ("contrast = ", 'contrast = "grey" # '))
    assert f"\n  {says}" in text
    assert "\n  contrast: " in text
    assert ": 2 faults:\n" in text


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 3000], ids=["digits", "brackets"])
def test_what_the_reader_chokes_on_is_no_toml(run_files, value):
    assert "not a TOML file" in told(run_files, ("seed = 3", f"seed = {value}"))
