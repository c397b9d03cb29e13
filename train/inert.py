"""Reads checkpoints that hold more than tensors, without running any of it.

Trainers of every age leave hyper-parameters of their own classes (`Namespace`,
`AttributeDict`, paths, enums, callbacks) beside the weights. Torch's restricted loader
refuses such files whole. Here every global that is not needed to rebuild a tensor
becomes an inert stand-in that swallows whatever the pickle does with it: nothing is
imported, nothing is called, and the tensors come out.
"""

import collections
import pickle
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import torch

# All that tensors and the containers around them are rebuilt from.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
    **{
        ("torch", name): getattr(torch, name)
        for name in (
            "FloatStorage",
            "DoubleStorage",
            "HalfStorage",
            "BFloat16Storage",
            "LongStorage",
            "IntStorage",
            "ShortStorage",
            "CharStorage",
            "ByteStorage",
            "BoolStorage",
        )
    },
}


class Inert:
    """Stands for an object of a class that is not loaded."""

    def __new__(cls, *_: object, **__: object) -> "Inert":
        """Accept whatever the class was made from."""
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Forget the state."""

    def __setitem__(self, key: object, value: object) -> None:
        """Forget the entry of what was a dictionary."""

    def append(self, value: object) -> None:
        """Forget the entry of what was a list."""

    def extend(self, values: object) -> None:
        """Forget the entries of what was a list."""

    def add(self, value: object) -> None:
        """Forget the entry of what was a set."""

    def __hash__(self) -> int:
        return id(self)


# Not the one in C: it takes memory for whatever length a damaged file names, be it all
# there is, before it looks how much follows.
class _Unpickler(pickle._Unpickler):
    """Finds what rebuilds tensors; everything else is `Inert`."""

    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401 - pickle's own
        return _ALLOWED.get((module, name), Inert)


def load_inert(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read a checkpoint's containers and tensors; all other objects are `Inert`.

    Parameters
    ----------
    path
        Of a file that `torch.save` wrote.

    Raises
    ------
    OSError
        It cannot be read.
    pickle.UnpicklingError, RuntimeError, ValueError, EOFError, ...
        It is no such file, or damaged.
    """
    module = ModuleType("inert_pickle")

    def load(file: IO[bytes], **options: Any) -> Any:  # noqa: ANN401 - as pickle.load
        return _Unpickler(file, **options).load()

    # Torch takes the loader as a module and derives its own unpickler from this one.
    vars(module).update(Unpickler=_Unpickler, load=load)
    return torch.load(
        path, map_location="cpu", pickle_module=module, weights_only=False
    )
