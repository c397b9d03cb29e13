"""Fixtures of the command-line tests: an invocation in this process, and a real one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def dep(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `dep WORDS...` in this process."""
    from dep.cli.main import app

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DEP_DEBUG", raising=False)
    # Meant for a process that trains and ends; this one goes on and measures memory.
    monkeypatch.setattr("dep.train.allocator.keep_freed_memory", lambda: False)

    def run(*words: object) -> Outcome:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def dep_process() -> Callable[..., subprocess.Popen[str]]:
    """Start `dep WORDS...` as a process of its own."""

    def start(*words: object, **environment: str) -> subprocess.Popen[str]:
        command = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from dep.cli.main import app; app()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", command, *(str(word) for word in words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "200", **environment},
        )

    return start


@pytest.fixture
def tomogram(make_tomogram: Callable[..., Any], tmp_path: Path) -> Path:
    path = tmp_path / "TS_01.mrc"
    make_tomogram(path)
    return path
