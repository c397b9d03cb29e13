"""How long a server may take, and what it means when it fails.

The only module that imports aiohttp.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from dep.engine.errors import TomogramError
from dep.engine.readers.names import is_url
from dep.engine.readers.optional import need

# Seconds until a server must have answered, and between two pieces of an answer.
CONNECT, ANSWER = 20, 60
# Seconds for a whole answer, a chunk: a server that sends a byte now and then has time
# without end otherwise.
LONGEST = 900
# How often anything is asked for, and the seconds between.
ATTEMPTS, PAUSE = 3, 1.0
# What asking again does not change; of HTTP's 400 to 499 these may pass: a time-out,
# and too many requests.
LASTING = (FileNotFoundError, ImportError, KeyError, MemoryError)
PASSING = (408, 429)

T = TypeVar("T")


def options(url: str) -> dict[str, Any]:
    """Give fsspec's options for an address.

    Raises
    ------
    TomogramError
        A package that it needs is not installed.
    """
    need("fsspec", "zarr", url, "addresses")
    if not url.lower().startswith("http"):
        return {}
    aiohttp = need("aiohttp", "zarr", url, "addresses")
    limit = aiohttp.ClientTimeout(total=LONGEST, sock_connect=CONNECT, sock_read=ANSWER)
    return {"client_kwargs": {"timeout": limit}}


def again(label: str, ask: Callable[[], T]) -> T:
    """Ask, and of an address ask again where that fails in a way that may pass."""
    if not is_url(label):
        return ask()
    began = time.monotonic()
    for _ in range(ATTEMPTS - 1):
        try:
            return ask()
        except Exception as error:
            if _lasts(error) or time.monotonic() - began > LONGEST:
                raise
            time.sleep(PAUSE)
    return ask()


def _lasts(error: Exception) -> bool:
    status = getattr(error, "status", 0)
    refused = isinstance(status, int) and 400 <= status < 500
    return isinstance(error, LASTING) or (refused and status not in PASSING)


def failed(url: str, error: Exception) -> TomogramError:
    """Say what went wrong at an address, and what to do."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    status = getattr(error, "status", None)
    if isinstance(status, int) and status >= 400:  # aiohttp.ClientResponseError
        place = getattr(getattr(error, "request_info", None), "real_url", url)
        reason = getattr(error, "message", "")
        why = f"the server answered {status}, {reason}, to {place}"
        advice = (
            "Ask those who run the server, or try later"
            if status >= 500
            else "Is the address right, and open to everybody?"
        )
    elif isinstance(error, TimeoutError):
        why = f"the server took too long: {said}"
        advice = (
            f"It has {CONNECT} seconds to answer, {ANSWER} between two pieces and "
            f"{LONGEST} for a chunk. Try later, or copy the image to this machine"
        )
    elif isinstance(error, OSError) or type(error).__module__.startswith("aiohttp"):
        why = said
        advice = "Is the address right, and the server there?"
    else:
        why = f"what the server sent makes no sense: {said}"
        advice = "Is this the address of an image? If so, it may be damaged"
    return TomogramError(f"{url}: cannot be read ({why}). {advice}")
