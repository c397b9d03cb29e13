"""What a user sees when a command cannot do its work: one message, one exit status."""

import functools
import importlib.util
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import NoReturn, ParamSpec, TypeVar, get_args

import typer
from typer.models import OptionInfo

FAILED = 1  # the work was begun and did not all succeed
WRONG_USE = 2  # nothing was begun: the words given cannot be carried out
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

_SETTING = re.compile(r"(^|; )([a-z_]+):")
_IN_PYTHON = re.compile(r"\([^()]*? in Python, ([^()]*?) on the command line")

# The command that runs, for the names of its options.
_command: ContextVar[Callable[..., object] | None] = ContextVar("command", default=None)

P = ParamSpec("P")
R = TypeVar("R")


class UsageError(Exception):
    """Words that cannot be carried out, found after the command line was parsed."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as batch systems do at a time limit."""


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a command's expected errors into a message on stderr and an exit status.

    Expected are the package's own errors, `UsageError`, files that cannot be read or
    written, packages that are not installed and Ctrl-C. Anything else is a defect and
    keeps its traceback. With ``DEP_DEBUG=1`` every error keeps it.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _command.set(command)
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt as stop:
            say("stopped")
            terminated = isinstance(stop, Terminated)
            raise typer.Exit(TERMINATED if terminated else INTERRUPTED) from stop
        except expected() as error:
            from dep.engine.errors import UseError

            if debugging():
                raise
            wrong = isinstance(error, (UsageError, UseError))
            fail(words_of(error), WRONG_USE if wrong else FAILED)

    return run


def expected() -> tuple[type[Exception], ...]:
    """Name the errors that are a message for people rather than a defect."""
    from dep.engine.errors import DepError

    return (DepError, UsageError, OSError, ModuleNotFoundError)


def words_of(error: BaseException) -> str:
    """Give the words of an error as whoever typed the command calls things.

    The engine names settings as Python does (``t_seg: expected ...``) and says of what
    is missing how to give it in Python and on the command line. Here settings are the
    options of the command that runs, and only those are named.
    """
    from dep.engine.errors import SettingError

    words = _IN_PYTHON.sub(r"(\1", str(error)) or type(error).__name__
    if not isinstance(error, SettingError):
        return words
    options = _options(_command.get())
    return _SETTING.sub(
        lambda found: found[1] + options.get(found[2], found[2]) + ":", words
    )


def _options(command: Callable[..., object] | None) -> dict[str, str]:
    """Give the options of a command by the names of its parameters."""
    if command is None:
        return {}
    options = {}
    for name, one in inspect.signature(command).parameters.items():
        for about in get_args(one.annotation)[1:]:
            if isinstance(about, OptionInfo):
                words = about.param_decls or (f"--{name.replace('_', '-')}",)
                options[name] = max(words, key=len)
    return options


def debugging() -> bool:
    """Say whether errors keep their traceback (environment variable DEP_DEBUG)."""
    return os.environ.get("DEP_DEBUG", "") not in ("", "0")


def fail(message: str, status: int) -> NoReturn:
    """Say what went wrong on stderr and end the command with an exit status."""
    say(message)
    raise typer.Exit(status)


def say(message: str) -> None:
    """Write one message for people on stderr."""
    sys.stderr.write(f"dep: {message}\n")
    sys.stderr.flush()


def listen_for_termination() -> None:
    """Let SIGTERM end the work as Ctrl-C does: nothing partial is left behind."""

    def stop(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def need(modules: tuple[str, ...], extra: str, purpose: str) -> None:
    """End the command with what to install when a module is missing.

    The modules are looked up, not imported.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        lacks = " and ".join(missing)
        verb = "is" if len(missing) == 1 else "are"
        install = f"pip install 'dep[{extra}]'"
        fail(f"{purpose} needs {lacks}, which {verb} not installed: {install}", FAILED)
