"""How a microscope images a thin specimen: contrast transfer, damage, losses.

Lengths are in ångström, spatial frequencies in 1/Å, angles in radians, voltages in kV.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Rest energy of the electron in keV, and h c in keV Å (CODATA 2018).
REST_ENERGY = 510.99895
PLANCK_LIGHT = 12.398419843
UM = 1e4  # Å
MM = 1e7  # Å


def wavelength(voltage: float) -> float:
    """Give the relativistic wavelength of the electron in Å.

    Kirkland, Advanced Computing in Electron Microscopy (2010), eq. 2.5.
    """
    return PLANCK_LIGHT / math.sqrt(voltage * (2 * REST_ENERGY + voltage))


def interaction(voltage: float) -> float:
    """Give the phase shift in rad per (V Å) of projected potential.

    sigma = 2 pi / (lambda E) (m c² + E) / (2 m c² + E); Kirkland (2010), eq. 5.6.
    """
    energy = voltage * 1e3  # eV, which is V for one electron charge
    share = (REST_ENERGY + voltage) / (2 * REST_ENERGY + voltage)
    return 2 * math.pi / (wavelength(voltage) * energy) * share


@dataclass(frozen=True, slots=True)
class Optics:
    """What of the microscope decides its contrast transfer.

    Attributes
    ----------
    voltage : float
        kV.
    cs : float
        Spherical aberration, mm.
    amplitude_contrast : float
        Share of the contrast, 0 to 1.
    """

    voltage: float = 300.0
    cs: float = 2.7
    amplitude_contrast: float = 0.07

    def transfer(
        self,
        ku: NDArray[np.float64],
        kv: NDArray[np.float64],
        defocus: float,
        astigmatism: float = 0.0,
        angle: float = 0.0,
    ) -> NDArray[np.float64]:
        """Give the contrast transfer function, positive where potential looks dark.

        chi = pi lambda z k² - pi/2 Cs lambda³ k⁴ with the underfocus
        z = defocus + astigmatism cos(2 (phi - angle)), and
        CTF = sin(chi + asin A): Rohou & Grigorieff, J. Struct. Biol. 192:216 (2015),
        with the sign that makes underfocused protein dark. The weak object's image is
        1 - 2 CTF * phase.

        Parameters
        ----------
        ku, kv : arrays that broadcast
            Spatial frequency, 1/Å.
        defocus, astigmatism : float
            Å; underfocus is positive, astigmatism half the difference of both axes.
        angle : float
            Direction of the larger defocus from u towards v.
        """
        square = ku**2 + kv**2
        depth: NDArray[np.float64] | float = defocus
        if astigmatism:
            depth = defocus + astigmatism * np.cos(2 * (np.arctan2(kv, ku) - angle))
        length = wavelength(self.voltage)
        chi = np.pi * length * depth * square
        chi = chi - np.pi / 2 * self.cs * MM * length**3 * square**2
        result: NDArray[np.float64] = np.sin(chi + math.asin(self.amplitude_contrast))
        return result

    def reach(self, defocus: float, frequency: float) -> float:
        """Give how far (Å) defocus carries the detail of that frequency sideways.

        The gradient of chi over 2 pi: lambda z k, the larger term.
        """
        return wavelength(self.voltage) * abs(defocus) * frequency


def critical_dose(k: NDArray[np.float64], voltage: float) -> NDArray[np.float64]:
    """Give the dose (e/Å²) at which detail of frequency `k` has faded by 1/e in power.

    N_e = 0.245 k^-1.665 + 2.81 at 300 kV, and 0.8 times that at 200 kV: Grant &
    Grigorieff, eLife 4:e06980 (2015), eq. 3; between and beyond them linear in the
    voltage.
    """
    scale = 0.8 + 0.2 * (voltage - 200.0) / 100.0
    with np.errstate(divide="ignore"):
        dose: NDArray[np.float64] = scale * (0.245 * np.power(k, -1.665) + 2.81)
    return dose


def damage(
    k: NDArray[np.float64], before: float, during: float, voltage: float
) -> NDArray[np.float64]:
    """Give what is left of the amplitude in an exposure, averaged over its time.

    The mean of exp(-N / (2 N_e)) over N from `before` to `before + during` (e/Å²);
    Grant & Grigorieff (2015).
    """
    rate = 0.5 / critical_dose(k, voltage)
    start = np.exp(-rate * before)
    spent = rate * during
    mean = np.where(spent > 1e-9, -np.expm1(-spent) / np.maximum(spent, 1e-9), 1.0)
    result: NDArray[np.float64] = start * mean
    return result


def transmission(thickness: float, tilt: float, free_path: float) -> float:
    """Give the share of electrons that stays within the energy filter's slit.

    exp(-t / (Lambda cos tilt)): Beer and Lambert's law through a slab of `thickness` Å,
    with the mean free path of inelastic scattering in vitreous ice.
    """
    return math.exp(-thickness / (free_path * math.cos(tilt)))
