"""What this processor computes in hardware."""

from pathlib import Path

# Instructions that compute bfloat16; libraries emulate it on chips without them.
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
CPUINFO = Path("/proc/cpuinfo")


def lacks_bf16() -> bool:
    """Tell whether it is known to have no bfloat16 instructions.

    Linux says so; elsewhere nothing is known, and the answer is False.
    """
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    lines = (line for line in text.splitlines() if line.startswith(("flags", "Feat")))
    return BF16_FLAGS.isdisjoint(next(lines, "").split())
