"""Check that the kernels asked for can run here, before there is work for them."""

from typing import get_args

from dep.engine.choices import KernelBackend
from dep.engine.errors import DeviceError, SettingError
from dep.kernels import BackendError
from dep.kernels.backends import c_core, cuda_device, resolve


def check_kernels(kernels: str) -> None:
    """Refuse kernels that cannot run here.

    Raises
    ------
    DeviceError
        They were not built, or there is no device for them; says what to do.
    SettingError
        An unknown word.
    """
    options = get_args(KernelBackend)
    if kernels not in options:
        message = f"kernels: expected one of {', '.join(options)}, found {kernels!r}"
        raise SettingError(message)
    try:
        twin = resolve(kernels)
        if twin == "c":
            c_core()
        elif twin == "cuda":
            cuda_device()
    except BackendError as error:
        message = f"kernels {kernels}: {error}"
        raise DeviceError(message) from error
