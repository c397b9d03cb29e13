"""Errors of the engine name the options of the command that runs."""

import pytest

from dep.cli.failure import guarded, words_of
from dep.engine import PicksError, SettingError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lowpass", -1), "dep: --lowpass: expected a number of ångström above 0"),
        (("--t-seg", 2, "--t-lm", 0), "found 2.0; --t-lm: expected a number above 0"),
        (("--mirrors", 3), "dep: --mirrors: expected 1, 2, 4 or 8, found 3"),
        (("--device", "tpu"), "dep: --device: expected one of auto, cpu, cuda"),
    ],
)
def test_settings_are_called_as_they_were_given(
    dep, tiny_model, tomogram, tmp_path, words, said
):
    out = tmp_path / "out"
    outcome = dep("pick", tomogram, "--engine", tiny_model, "-o", out, *words)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err
    assert not out.exists()


def test_what_is_missing_is_given_by_an_option(dep, tmp_path):
    (tmp_path / "a.csv").write_text("class,x,y,z\na,1,2,3\n")
    outcome = dep("convert", tmp_path / "a.csv", tmp_path / "a.star")
    assert outcome.status == 2
    assert outcome.err == (
        "dep: a: RELION 5 needs the tomogram's shape and voxel size, which are "
        "unknown; give both (--shape X,Y,Z and --voxel-size), or the tomograms or "
        "RELION's tomograms.star (--tomograms PATH)\n"
    )


def test_other_words_before_a_colon_stay_as_they_are():
    """Such as a tomogram that is called like a setting."""
    said = []

    @guarded
    def command(lowpass: float) -> None:
        errors = PicksError("lowpass: no picks"), SettingError(f"t_x: 1; y: {lowpass}")
        said.extend(map(words_of, errors))

    command(2)
    assert said == ["lowpass: no picks", "t_x: 1; y: 2"]
