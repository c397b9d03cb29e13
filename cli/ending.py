"""End within a second of Ctrl-C or SIGTERM, whatever still computes."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from dep.cli.failure import Terminated

GRACE = 0.7  # seconds in which the work may end by itself, and tidy up
STOPPED = b"dep: stopped\n"


@contextlib.contextmanager
def ending_soon() -> Iterator[threading.Lock]:
    """Raise `KeyboardInterrupt` at the first signal, and end the process soon after.

    Libraries that compile a model, compute a large layer or wait for a disk let no
    Python run in the main thread before they are done. So a second thread listens, and
    ends the process if it still runs when the grace is over. Further signals do
    nothing: what the first one began is under way.

    Only for the main thread.

    Yields
    ------
    Lock
        The process is not ended while somebody holds it: for files that are to appear
        whole or not at all.
    """
    writing = threading.Lock()
    left = threading.Event()
    asked = False

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    # What was told to ignore Ctrl-C, as shells tell their jobs in the background, does.
    ours = [
        one
        for one in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(one) is not signal.SIG_IGN
    ]
    hears, tells = socket.socketpair()
    tells.setblocking(False)
    listener = threading.Thread(
        target=_listen, args=(hears, writing, left), name="dep-ending", daemon=True
    )
    before = {one: signal.signal(one, ask) for one in ours}
    descriptor = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    listener.start()
    try:
        yield writing
    finally:
        left.set()
        signal.set_wakeup_fd(descriptor)
        for one, handler in before.items():
            signal.signal(one, handler)
        tells.close()
        listener.join()
        hears.close()


def _listen(
    hears: socket.socket, writing: threading.Lock, left: threading.Event
) -> None:
    """Wait for the number of a signal; end the process if nobody else does."""
    while number := hears.recv(1):
        if number[0] not in (signal.SIGINT, signal.SIGTERM):
            continue
        if left.wait(GRACE):
            return
        with writing:
            if not left.is_set():
                # Past all of Python's own files: their locks may be held.
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, STOPPED)
                os._exit(128 + number[0])
