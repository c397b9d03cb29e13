"""Ctrl-C and SIGTERM wait for the end of a step, so that a whole state can be kept."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

Handler = Callable[[int, FrameType | None], Any] | int | None


class Interruption:
    """Holds Ctrl-C back while a step is made; a second Ctrl-C is not held back.

    A context manager: handlers are put in place by `listen` and the former ones are
    back after the block, whatever others (Lightning) set meanwhile. A signal that
    nobody listened for before keeps its effect. In other threads than the main one
    nothing is listened for.
    """

    def __init__(self) -> None:
        self._former: dict[int, Handler] = {}
        self._held = False
        self._asked: int | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.getsignal(number)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            if handler is not None:
                signal.signal(number, handler)

    def listen(self) -> None:
        """Put the handlers in place."""
        for number, handler in self._former.items():
            if handler is not None:
                signal.signal(number, self._hear if callable(handler) else handler)

    @property
    def held(self) -> bool:
        """Whether a step is being made."""
        return self._held

    @property
    def asked(self) -> bool:
        """Whether somebody asked to stop, and was put off."""
        return self._asked is not None

    def hold(self) -> None:
        """From here on, put off who asks to stop."""
        self._held = True

    def release(self) -> None:
        """From here on, do not."""
        self._held = False

    def deliver(self) -> None:
        """Let the former handler have what was put off; it usually raises."""
        number, self._asked = self._asked, None
        if number is not None:
            self._pass_on(number, None)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self._held or self._asked is not None:
            self._pass_on(number, frame)
        self._asked = number

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        handler = self._former.get(number)
        if callable(handler):
            handler(number, frame)
        raise KeyboardInterrupt
