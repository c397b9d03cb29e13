"""Runs one part in this process: `python -m gpu.worker MODULE:FUNCTION ...`."""

import importlib
import json
import signal
import sys
import traceback
from pathlib import Path

from gpu.context import DONE, FAILED, NOT_RUN, Context, NotRunError


def main(call: str, settings: str) -> int:
    """Call a part's function; what it raises is its end, and is taken down.

    Parameters
    ----------
    call
        "module:function".
    settings
        JSON: lines, scratch, root, seconds and models of the `Context`.
    """
    values = json.loads(settings)
    models = values["models"]
    context = Context(
        lines=Path(values["lines"]),
        scratch=Path(values["scratch"]),
        root=Path(values["root"]),
        seconds=values["seconds"],
        models=Path(models) if models else None,
    )
    # Whoever started this ends it in time; should they be gone, it ends by itself.
    signal.alarm(int(context.seconds) + 5)
    try:
        module, _, function = call.partition(":")
        getattr(importlib.import_module(module), function)(context)
    except NotRunError as reason:
        context.end(NOT_RUN, str(reason))
        return 0
    except ModuleNotFoundError as error:
        # What any part needs; whatever else is missing a part says by itself.
        missing = error.name == "numpy"
        if not missing:
            traceback.print_exc()
        context.end(NOT_RUN if missing else FAILED, str(error))
        return 0 if missing else 1
    except Exception as error:  # noqa: BLE001 - a part may fail in any way
        traceback.print_exc()
        context.end(FAILED, f"{type(error).__name__}: {error}"[:2000])
        return 1
    context.end(FAILED if context.faults else DONE, "; ".join(context.faults))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
