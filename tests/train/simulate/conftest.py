"""A small simulation that many tests look at."""

import pytest

from dep.train.simulate import (
    Acquisition,
    Reconstruction,
    Simulation,
    SimulationSettings,
    Specimen,
    simulate,
)


def small(
    specimen: dict | None = None,
    acquisition: dict | None = None,
    reconstruction: dict | None = None,
) -> SimulationSettings:
    """Settings of a tomogram that takes half a second."""
    base = {
        "size": (72, 80, 48),
        "molecules": ("cluster:150", "globule:90"),
        "particles": 10,
        "vesicles": 0,
        "gold": 0,
    }
    return SimulationSettings(
        Specimen(**{**base, **(specimen or {})}),
        Acquisition(**{"defocus": 3.0, **(acquisition or {})}),
        Reconstruction(**(reconstruction or {})),
    )


@pytest.fixture(scope="session")
def settings():
    """Give the function that makes small settings."""
    return small


@pytest.fixture(scope="session")
def simulation() -> Simulation:
    """Vesicle, gold and molecules, as the microscope would see them."""
    return simulate(small({"vesicles": 1, "vesicle_radius": 150.0, "gold": 2}), seed=4)
