"""What a runtime must offer so that the pipeline can use it."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Runtime(Protocol):
    """A network that is ready to compute.

    Attributes
    ----------
    name : str
        Such as ``openvino 2026.4.1``.
    device : str
        ``cpu`` or ``cuda``.
    precision : str
        Of the arithmetic: ``f32`` or ``bf16``.
    threads : int
        That it uses.
    batch : int
        Most tiles that one call takes.
    free : bool
        Tiles may be boxes of any size that the card's `tile_multiple` divides;
        otherwise they are cubes of its `tile`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see the class

    @property
    def device(self) -> str: ...  # noqa: D102

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def threads(self) -> int: ...  # noqa: D102

    @property
    def batch(self) -> int: ...  # noqa: D102

    @property
    def free(self) -> bool: ...  # noqa: D102

    def infer(self, tiles: NDArray[np.float32]) -> NDArray[Any]:
        """Compute scores; blocks until done.

        Parameters
        ----------
        tiles : (b, 1, z, y, x) float32
            Normalised, C-contiguous, 1 <= b <= `batch`. The first tiles of another size
            may take longer: the network is compiled for it.

        Returns
        -------
        (b, C, z, y, x) float32 or float16
            Activation applied. Valid until the second next call: the caller may still
            read these scores while the next are computed.

        Raises
        ------
        DeviceError
            The runtime failed, for example for lack of memory.
        StoppedError
            `interrupt` was called meanwhile.
        """
        ...

    def interrupt(self) -> None:
        """Make the call of `infer` that is running now raise `StoppedError` soon.

        For other threads than the one that computes. Soon is the end of the layer at
        hand. Does nothing where no call is running, or to one that is just ending;
        the next one is not affected.
        """
        ...

    def close(self) -> None:
        """Release the network; a second call does nothing."""
        ...
