"""One process of a training on several devices: `python -m dep.train.rank_main`.

It reads its task from the first line of stdin and writes JSON lines to stdout; when
stdin ends, the process that started it is gone, and it ends too.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from dep.engine.errors import DepError
from dep.train.allocator import keep_freed_memory
from dep.train.config import parse_config
from dep.train.fit import train_rank
from dep.train.launch import encode
from dep.train.metrics_file import Progress
from dep.train.ranks import Ranks, choose_device
from dep.train.run_folder import RunFolder

INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    """Do the part of one process; return its exit status."""
    # Started in the background by some shells, a process ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow, name="dep-parent", daemon=True).start()
    keep_freed_memory()
    ranks = Ranks(**task["ranks"])
    try:
        config = parse_config(task["config"], task["config"]["name"])
        train_rank(
            config,
            RunFolder(Path(task["out"])),
            ranks,
            choose_device(config),
            task["resume"],
            task["init"],
            _report if ranks.first else None,
        )
    except DepError as error:
        _write({"error": type(error).__name__, "message": str(error)})
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _report(report: Progress) -> None:
    _write(encode(report))


def _write(values: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def _follow() -> None:
    sys.stdin.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
