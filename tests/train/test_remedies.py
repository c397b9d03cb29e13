"""What a person is told to do when a training fails can be done."""

from pathlib import Path

import pytest

from dep.train.config import config_values, load_config, parse_config
from dep.train.remedies import more_memory, not_finite


def with_values(run_files, **changes):
    """Give the fixture's configuration, its sections changed."""
    values = config_values(load_config(run_files.config))
    for section, keys in changes.items():
        values[section].update(keys)
    return parse_config(values, "test")


@pytest.mark.parametrize(
    ("batch", "patch", "ways"),
    [
        (4, 4, ["training.batch = 2"]),
        (2, 4, []),
        (1, 8, []),
        (1, 12, ["training.patch = 8"]),
        (2, 8, ["training.batch = 1", "training.patch = 4"]),
    ],
)
def test_what_saves_memory_still_trains(run_files, batch, patch, ways):
    config = with_values(run_files, training={"batch": batch, "patch": patch})
    words = more_memory(config, validating=False)
    if not ways:
        assert "train a narrower network" in words
    for key in ("training.batch = ", "training.patch = "):
        assert (key in words) == any(way.startswith(key) for way in ways)
    for way in ways:
        assert way in words
        key, value = way.removeprefix("training.").split(" = ")
        with_values(
            run_files, training={"batch": batch, "patch": patch, key: int(value)}
        )


def test_a_tile_that_is_the_patch_too_still_trains(run_files):
    config = with_values(
        run_files,
        network={"coordinates": True},
        training={"batch": 1, "patch": 8},
        picking={"tile": 8, "margin": 0},
    )
    assert "lower picking.tile (now 8)" in more_memory(config, validating=True)


def test_a_checkpoint_is_spoken_of_only_after_a_step(run_files):
    config = load_config(run_files.config)
    assert "--init" not in not_finite(float("nan"), 1, config)
    learnt = Path("runs/a/model.ckpt")
    assert f"--init {learnt}" in not_finite(1e99, 2, config, learnt)
