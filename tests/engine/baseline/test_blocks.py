"""A tomogram in blocks: every voxel is owned once, and memory is bounded."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dep.engine.baseline.blocks import MIB, cut
from dep.engine.errors import SettingError


def all_of(read):
    return 4000 * math.prod(read)


@given(st.tuples(*[st.integers(1, 90)] * 3), st.integers(0, 20), st.integers(300, 3000))
def test_every_voxel_is_owned_once_and_sees_its_halo(shape, halo, memory):
    owners = np.zeros(shape, int)
    try:
        blocks = cut(shape, halo, memory, all_of)
    except SettingError:
        return
    for block in blocks:
        owners[block.core] += 1
        for core, read, inside, n in zip(
            block.core, block.read, block.inside, shape, strict=True
        ):
            assert read.start == max(core.start - halo, 0)
            assert read.stop == min(core.stop + halo, n)
            assert inside.start + read.start == core.start
        read = [part.stop - part.start for part in block.read]
        assert all_of(read) <= memory * MIB
    assert (owners == 1).all()


def test_ample_memory_needs_one_block():
    (block,) = cut((64, 70, 80), 12, 10_000, all_of)
    assert block.core == block.read == (slice(0, 64), slice(0, 70), slice(0, 80))


def test_memory_for_no_block_says_how_much_would_do():
    with pytest.raises(
        SettingError, match=r"1 MiB .* at least (\d+) \(--memory\)"
    ) as e:
        cut((256, 256, 256), 20, 1, all_of)
    words = str(e.value)
    enough = int(words[words.index("least") + 6 : words.index(" (--memory)")])
    assert cut((256, 256, 256), 20, enough, all_of)
    with pytest.raises(SettingError):
        cut((256, 256, 256), 20, enough - 1, all_of)
