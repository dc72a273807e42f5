from __future__ import annotations

import zlib

from kasbah.wire.session_recording.spdy_dictionary import DICTIONARY


def test_it_is_the_one_of_spdy_3():
    """Each compressed stream names its dictionary by this checksum."""
    assert (len(DICTIONARY), zlib.adler32(DICTIONARY)) == (1423, 0xE3C6A7C2)
