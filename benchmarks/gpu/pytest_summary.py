"""A plugin of pytest's that keeps a summary on disk, whole after every test."""

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest


class Summary:
    """Counts outcomes and keeps the text of failures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._began = time.monotonic()
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._failures: list[dict[str, str]] = []
        self._not_collected: list[dict[str, str]] = []
        self._running = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be collected."""
        if report.failed:
            lines = [line for line in str(report.longrepr).splitlines() if line.strip()]
            why = next((line for line in reversed(lines) if line.startswith("E ")), "")
            why = (why or (lines or ["it does not say why"])[-1]).lstrip("E ")
            self._not_collected.append({"file": report.nodeid, "why": why})
            self._write()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note what is running: should it end the process, that is what did."""
        self._running = nodeid
        self._write()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test."""
        if report.failed:
            self._counts["failed"] += 1
            text = f"{report.when}: {report.longrepr}"
            self._failures.append({"test": report.nodeid, "text": text})
        elif report.skipped:
            self._counts["skipped"] += 1
            reason = report.longrepr
            self._reasons[str(reason[-1] if isinstance(reason, tuple) else reason)] += 1
        elif report.when == "call":
            self._counts["passed"] += 1

    def pytest_sessionfinish(self) -> None:
        """Note that nothing was cut off."""
        self._running = ""
        self._write(finished=True)

    def _write(self, *, finished: bool = False) -> None:
        document: dict[str, Any] = {
            **self._counts,
            "reasons": dict(self._reasons),
            "failures": self._failures,
            "not_collected": self._not_collected,
            "running": self._running,
            "seconds": round(time.monotonic() - self._began, 2),
            "finished": finished,
        }
        temporary = self._path.with_suffix(".part")
        temporary.write_text(json.dumps(document), encoding="utf-8")
        temporary.replace(self._path)


def pytest_configure(config: pytest.Config) -> None:
    """Register it, where the check asks for it."""
    if path := os.environ.get("GPU_CHECK_SUMMARY"):
        config.pluginmanager.register(Summary(Path(path)), "gpu-check-summary")
