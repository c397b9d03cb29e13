"""A particle that is listed twice is one particle; tomograms weigh what is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.train.config import ConfigError, load_config
from dep.train.intake import load_data, survey_data
from dep.train.placing import listed_once

SOURCE = '{ tomogram = "tomo.mrc", coordinates = "tomo.csv" }'


def by_pairs(xyz, class_id, within):
    again = {
        j
        for j in range(len(xyz))
        for i in range(j)
        if class_id[i] == class_id[j] and np.abs(xyz[i] - xyz[j]).max() <= within
    }
    return [k for k in range(len(xyz)) if k not in again]


@given(
    st.lists(
        st.tuples(*[st.sampled_from([0, 0.25, 1, 1.125, 7])] * 3, st.integers(1, 2)),
        max_size=30,
    ),
    st.sampled_from([0.0, 0.125, 0.25]),
)
def test_rows_that_repeat_an_earlier_one_are_found(rows, within):
    table = np.array(rows, float).reshape(-1, 4)
    xyz, class_id = table[:, :3], table[:, 3].astype(int)
    kept = listed_once(xyz, class_id, within)
    assert kept.tolist() == by_pairs(xyz, class_id, within)


def test_entries_that_overlap_count_a_particle_once(run_files):
    (once,) = load_data(load_config(run_files.config)).train
    rows = (run_files.folder / "tomo.csv").read_text().splitlines()
    (run_files.folder / "half.csv").write_text("\n".join(rows[: len(rows) // 2]))
    half = SOURCE.replace("tomo.csv", "half.csv")
    config = load_config(run_files.rewrite((SOURCE, f"{SOURCE}, {half}")))
    (found,) = load_data(config).train
    np.testing.assert_array_equal(found.xyz, once.xyz)
    np.testing.assert_array_equal(found.class_id, once.class_id)
    assert any("listed twice" in line for line in survey_data(config).warnings)


def test_a_weight_reaches_the_tomogram_and_belongs_to_it(run_files):
    heavy = SOURCE.replace(" }", ", weight = 2.5 }")
    path = run_files.rewrite((SOURCE, heavy))
    (found,) = load_data(load_config(path)).train
    assert found.weight == 2.5
    path = run_files.rewrite((heavy, f"{heavy}, {SOURCE}"))
    with pytest.raises(ConfigError, match=r"tomo\.mrc: weight is 1 and 2\.5 in its"):
        load_config(path)
    path = run_files.rewrite(("2.5", "0"))
    with pytest.raises(ConfigError, match="weight"):
        load_config(path)
