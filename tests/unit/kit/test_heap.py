from __future__ import annotations

from kasbah.kit import heap


def test_keeping_memory_may_be_asked_for_anywhere_and_twice():
    heap.keep_freed_memory()
    heap.keep_freed_memory()


def test_what_is_kept_is_a_few_read_buffers_and_no_more():
    assert 16 * 256 * 1024 <= heap.KEPT_BYTES <= 16 * 1024 * 1024
