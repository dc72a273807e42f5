from __future__ import annotations

import hashlib

from kasbah.kit.chained_log import chain

A_HEAD = chain.genesis("a")


def test_two_logs_begin_with_two_hashes():
    assert chain.genesis("a").digest != chain.genesis("b").digest


def test_the_hash_is_what_anybody_computes_with_sha256sum():
    text = A_HEAD.digest + b':1:{"a":1}'
    assert chain.link(A_HEAD.digest, 1, b'{"a":1}') == hashlib.sha256(text).hexdigest().encode()


def test_a_line_is_read_as_it_was_written():
    head, line = chain.extend(A_HEAD, [b'{"a":1}'])
    entry = chain.parse(line)
    assert entry is not None
    assert (entry.sequence, entry.digest, entry.record) == (1, head.digest, b'{"a":1}')


def test_many_records_are_chained_one_by_one():
    head, _ = chain.extend(A_HEAD, [b'{"a":1}', b'{"a":2}'])
    first, _ = chain.extend(A_HEAD, [b'{"a":1}'])
    second, _ = chain.extend(first, [b'{"a":2}'])
    assert head == second
    assert head.sequence == 2


def test_what_is_no_whole_line_is_no_entry():
    _, line = chain.extend(A_HEAD, [b'{"a":1}'])
    for wrong in (line[:-1], line[1:], b"\n", b"", line + line, line.replace(b'"seq":1', b'"seq":01')):
        assert chain.parse(wrong) is None
