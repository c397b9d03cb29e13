"""Check that the kernels asked for can run here, before there is work for them."""

from typing import get_args

from dep.engine.choices import KernelBackend
from dep.engine.errors import DeviceError, SettingError
from dep.kernels import BackendError
from dep.kernels.backends import c_core, resolve


def check_kernels(kernels: str) -> None:
    """Refuse kernels that cannot run here.

    Raises
    ------
    DeviceError
        They are not part of this version, or were not built; says what to do.
    SettingError
        An unknown word.
    """
    options = get_args(KernelBackend)
    if kernels not in options:
        message = f"kernels: expected one of {', '.join(options)}, found {kernels!r}"
        raise SettingError(message)
    try:
        if resolve(kernels) == "c":
            c_core()
    except BackendError as error:
        message = f"kernels {kernels}: {error}"
        raise DeviceError(message) from error
