"""Settings are judged as a whole, and read from TOML."""

import pytest

from dep.engine.errors import SettingError
from dep.train.simulate import (
    Acquisition,
    SimulationSettings,
    Specimen,
    load_document,
    parse_settings,
)


def test_all_faults_come_in_one_message():
    document = {
        "specimen": {"size": [64, 64], "particles": 2.5, "colour": 1, "molecules": "a"},
        "acquisition": {"dose": [5, 1], "order": "zigzag", "damage": "yes"},
        "reconstruction": {"cutoff": 2, "phase_flip": 1},
        "detector": {},
    }
    with pytest.raises(SettingError) as caught:
        parse_settings(document)
    words = str(caught.value)
    for name in (
        "specimen.size",
        "specimen.particles",
        "specimen.colour",
        "specimen.molecules",
        "acquisition.dose",
        "acquisition.order",
        "acquisition.damage",
        "reconstruction.cutoff",
        "reconstruction.phase_flip",
        "detector",
    ):
        assert f"  {name}: " in words


def test_a_ratio_to_noise_is_of_particles_that_there_are():
    """Without them it would quietly be a dose, and another one than was meant."""
    document = {
        "specimen": {"particles": 0, "colour": 1},
        "acquisition": {"snr": [0.0, 0.2]},
    }
    with pytest.raises(SettingError, match=r"(?s)colour: unknown.*acquisition\.snr: "):
        parse_settings(document)
    with pytest.raises(SettingError, match=r"acquisition\.snr: .*leave snr out"):
        SimulationSettings(Specimen(particles=0), Acquisition(snr=0.1))
    for some in ({"particles": (0, 5)}, {"particles": 0, "occupancy": 0.1}):
        SimulationSettings(Specimen(**some), Acquisition(snr=0.1))
    SimulationSettings(Specimen(particles=0))


@pytest.mark.parametrize("value", [float("nan"), -1, "3", True, (1, 2, 3), None])
def test_a_dose_is_a_number_or_a_span(value):
    with pytest.raises(SettingError, match=r"acquisition\.dose"):
        SimulationSettings(acquisition=Acquisition(dose=value))


def test_a_span_is_refused_where_there_is_one_value():
    with pytest.raises(SettingError, match=r"specimen\.voxel_size"):
        SimulationSettings(Specimen(voxel_size=(5.0, 10.0)))


def test_a_table_that_is_none_is_named():
    with pytest.raises(SettingError, match="specimen: expected a table"):
        parse_settings({"specimen": 3})


def test_settings_survive_their_dictionary():
    settings = SimulationSettings(Specimen(particles=(3, 5), gold=0))
    assert parse_settings(settings.to_dict()) == settings


def test_maps_in_a_file_are_relative_to_it(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text(
        '[specimen]\nmolecules = ["maps/x.mrc", "ring:100"]\nparticles = [3, 5]\n'
    )
    settings = parse_settings(load_document(file))
    assert settings.specimen.molecules == (str(tmp_path / "maps/x.mrc"), "ring:100")
    assert settings.specimen.particles == (3, 5)


def test_a_file_that_is_not_toml_or_not_there_is_named(tmp_path):
    file = tmp_path / "a.toml"
    with pytest.raises(SettingError, match=r"a\.toml: cannot be read"):
        load_document(file)
    file.write_text("particles = = 3")
    with pytest.raises(SettingError, match=r"a\.toml: not TOML"):
        load_document(file)
