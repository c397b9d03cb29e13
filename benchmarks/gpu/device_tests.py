"""Runs the tests that need a GPU, each file in a process of its own.

A fault of one file, such as an address that is not the program's, spoils the device for
its process and not for the next.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from gpu.context import Context, NotRunError
from gpu.machine import need, need_gpu

# Files that may hold such tests: those that name the mark, or the fixture that has it.
LIKELY = re.compile(r"mark\.gpu|usefixtures\(\"device\"\)|[(,] ?device[,)]")
SANITIZER = "test_cuda_sanitizer.py"
NOTHING_COLLECTED = 5  # pytest's status
LONGEST = 3000  # characters kept of a failure


def run(context: Context) -> None:
    """Run `pytest -m gpu`, but for the sanitizer's."""
    need_gpu()
    need("pytest")
    files = [
        path
        for path in sorted((context.root / "tests").rglob("test_*.py"))
        if path.name != SANITIZER and LIKELY.search(path.read_text(encoding="utf-8"))
    ]
    totals = dict.fromkeys(("passed", "failed", "skipped"), 0)
    for path in files:
        for outcome, number in run_file(context, path).items():
            totals[outcome] += number
        for outcome, number in totals.items():
            context.value(outcome, number)
    if not sum(totals.values()):
        context.fault("no test was run")


def sanitizer(context: Context) -> None:
    """Run the kernels under compute-sanitizer."""
    need_gpu()
    need("pytest")
    if shutil.which("compute-sanitizer") is None:
        message = "compute-sanitizer is not installed; it comes with the CUDA toolkit"
        raise NotRunError(message)
    path = context.root / "tests" / "kernels" / SANITIZER
    for tool in ("memcheck", "racecheck"):
        run_file(context, path, "-k", tool)


def run_file(context: Context, path: Path, *more: str) -> dict[str, int]:
    """Run the tests of a file that need a GPU; give passed, failed, skipped."""
    name = " ".join((str(path.relative_to(context.root)), *more))
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    if context.left() < 1:
        context.row("files", file=name, **counts, how="not run: no time was left")
        return counts
    summary = context.scratch / "tests.json"
    summary.unlink(missing_ok=True)
    printed = context.scratch / "tests.out"
    command = [sys.executable, "-P", "-m", "pytest", "-m", "gpu", "-q", *more]
    # The checkout stays as it is. Warnings of other versions of libraries are no
    # failures here, and their plugins are none of the subject.
    command += ["-p", "no:cacheprovider", "-W", "default", "--tb=short"]
    command += ["--continue-on-collection-errors", "-p", "gpu.pytest_summary"]
    command += ["--rootdir", str(context.root), "-c", f"{context.root}/pyproject.toml"]
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "GPU_CHECK_SUMMARY": str(summary),
    }
    with printed.open("wb") as output:
        try:
            state = subprocess.run(
                [*command, str(path)],
                cwd=context.scratch,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=context.left(),
                check=False,
            ).returncode
            how = "" if state >= 0 else f"ended by {signal.Signals(-state).name}"
        except subprocess.TimeoutExpired:
            state, how = -1, "stopped: no time was left"
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {"finished": state == NOTHING_COLLECTED}
        how = how or f"pytest ended with status {state} before its first test"
    for outcome in counts:
        counts[outcome] = found.get(outcome, 0)
    for failure in found.get("failures", ()):
        context.row("failures", test=failure["test"], text=failure["text"][-LONGEST:])
    for reason, number in found.get("reasons", {}).items():
        context.row("skipped", file=name, tests=number, why=reason)
    for one in found.get("not_collected", ()):
        context.row("not collected", file=one["file"], why=one["why"])
        how = how or "not collected"
    if not found.get("finished") and state != NOTHING_COLLECTED:
        at = found.get("running", "")
        how = f"{how or f'ended with status {state}'}{f' in {at}' if at else ''}"
        last = printed.read_bytes()[-LONGEST:].decode(errors="replace")
        context.row("failures", test=name, text=f"{how}\n{last}")
        context.fault(f"{name}: {how}")
    if counts["failed"]:
        context.fault(f"{name}: {counts['failed']} failed")
    if sum(counts.values()) or how:
        context.row("files", file=name, **counts, how=how)
    return counts
