from __future__ import annotations

import pytest

from kasbah.kas.reverse_tunnel.unmask import unmask


@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_a_mask_is_taken_off(wrap):
    masked = bytes(byte ^ key for byte, key in zip(b"hello", b"abcda", strict=True))
    assert unmask(wrap(masked), b"abcd") == b"hello"
