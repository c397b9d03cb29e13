"""Units of length as image formats write them, in ångström."""

# OME-Zarr takes the names of UDUNITS-2; ImageJ and OME-XML write what people write.
ANGSTROM = {
    "angstrom": 1.0,
    "ångström": 1.0,
    "å": 1.0,
    "a": 1.0,
    "picometer": 0.01,
    "pm": 0.01,
    "nanometer": 10.0,
    "nm": 10.0,
    "micrometer": 1e4,
    "micron": 1e4,
    "microns": 1e4,
    "um": 1e4,
    "µm": 1e4,
    "millimeter": 1e7,
    "mm": 1e7,
    "centimeter": 1e8,
    "cm": 1e8,
    "inch": 2.54e8,
    "meter": 1e10,
    "m": 1e10,
}


def in_angstrom(unit: str) -> float | None:
    """Say how many ångström a unit has; None where it is none of length."""
    # Ångström and micro have two code points each.
    plain = unit.strip().lower().replace("\u212b", "å").replace("\u03bc", "µ")
    plain = plain.replace("metre", "meter").replace("\\u00b5", "µ")
    return ANGSTROM.get(plain.removesuffix("s") if plain.endswith("ers") else plain)
