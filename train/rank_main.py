"""One process of a training on several devices: `python -m dep.train.rank_main`.

It reads its task from the first line of stdin and writes JSON lines to what was its
stdout; what libraries print goes to stderr. When stdin ends, the process that started
it is gone, and it ends too.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from dep.engine.errors import DepError
from dep.train.allocator import keep_freed_memory
from dep.train.config import parse_config
from dep.train.fit import train_rank
from dep.train.launch import encode
from dep.train.ranks import Ranks, choose_device
from dep.train.run_folder import RunFolder

INTERRUPTED = 128 + signal.SIGINT


def main() -> int:
    """Do the part of one process; return its exit status."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library's word (NCCL's, for one) is no report
    # Started in the background by some shells, a process ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Batch systems send it to every process. The one that started this one passes it on
    # as Ctrl-C; to be asked twice would mean at once, in the middle of a step.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
            (lambda report: _write(encode(report), lines)) if ranks.first else None,
        )
    except DepError as error:
        _write({"error": type(error).__name__, "message": str(error)}, lines)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _write(values: dict[str, Any], lines: TextIO) -> None:
    lines.write(json.dumps(values) + "\n")
    lines.flush()


def _follow() -> None:
    sys.stdin.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
