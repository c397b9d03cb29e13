"""A setting that does nothing is told of, and no other."""

import pytest

from dep.train.config import load_config
from dep.train.idle import idle_settings
from dep.train.intake import load_data

HELD = 'validate = [{ tomogram = "held.mrc", coordinates = "held.csv" }]\n'
COMPLETE = ("fully_annotated = true\n", "")
LOSS = "[loss]\n"


def notes(run_files, *changes):
    """Give the notes of a training that speak of settings that do nothing."""
    path = run_files.rewrite(("[network]", LOSS + "\n[network]"), *changes)
    return [line for line in load_data(load_config(path)).warnings if "nothing" in line]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ([(HELD, ""), ("seed = 3", "seed = 3\npatience = 3")], "training.patience = 3"),
        ([(HELD, ""), ("seed = 3", "seed = 3\nkeep_best = 5")], "training.keep_best"),
        ([(HELD, ""), ("seed = 3", "seed = 3\nvalidate_every = 2")], "validate_every"),
        ([("seed = 3", "seed = 3\npatience = 3")], "there is 1 validation in 6 steps"),
        (
            [("seed = 3", "seed = 3\npatience = 2\nvalidate_every = 2")],
            "there are 3 validations in 6 steps",
        ),
        ([(LOSS, LOSS + "trimmed = 0.2\n")], "every training tomogram is fully"),
        ([(LOSS, LOSS + 'unannotated = "trimmed"\n')], "every training tomogram"),
        (
            [COMPLETE, (LOSS, LOSS + "trimmed = 0.2\n")],
            'loss.trimmed = 0.2 does nothing: loss.unannotated is "ignore"',
        ),
        ([(LOSS, LOSS + "absent = 1\ndice = 0\n")], "loss.absent = 1 does nothing"),
    ],
)
def test_it_is_said_once(run_files, changes, says):
    (note,) = notes(run_files, *changes)
    assert says in note


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [(HELD, "")],
        [("seed = 3", "seed = 3\npatience = 1\nvalidate_every = 2\nkeep_best = 1")],
        [COMPLETE, (LOSS, LOSS + 'unannotated = "trimmed"\ntrimmed = 0.2\n')],
        [COMPLETE, (LOSS, LOSS + 'unannotated = "background"\n')],
        [(LOSS, LOSS + "absent = 1\nclass_term = 0.5\n")],
    ],
)
def test_what_does_something_is_passed_over(run_files, changes):
    assert notes(run_files, *changes) == []


def test_of_one_class_there_is_nothing_to_tell_apart(run_files):
    config = load_config(run_files.config)
    one = config.model_copy(
        update={
            "classes": config.classes[:1],
            "loss": config.loss.model_copy(update={"absent": 1.0, "class_term": 0.0}),
        }
    )
    (note,) = idle_settings(one, validated=True, complete=False)
    assert note == (
        "loss.class_term = 0, loss.absent = 1 do nothing: there is one class"
    )
