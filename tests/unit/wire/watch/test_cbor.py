from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.watch import cbor
from kasbah.wire.watch.cbor import UnreadableCborError

DOCUMENTS = st.recursive(
    st.text(max_size=40) | st.integers(0, 2**64 - 1),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None)
@given(before=DOCUMENTS, text=st.text(max_size=70_000), behind=DOCUMENTS)
def test_a_text_is_found_whatever_stands_beside_it(before: object, text: str, behind: object):
    item = cbor.encode({"before": before, "a": {"x": before, "b": text}, "behind": behind})
    assert cbor.texts(item, [("a", "b"), ("a", "c")]) == [text, ""]


def test_texts_arrays_tags_and_pieces_are_read():
    item = bytes.fromhex("d9d9f7bf616182f50161627f61616162ffff")
    assert cbor.texts(item, [("b",)]) == ["ab"]


def test_what_stands_in_a_list_is_not_what_is_asked_for():
    item = bytes.fromhex("a1") + b"\x41a" + bytes.fromhex("81a1") + b"\x41b\x41c"
    assert cbor.texts(item, [("a", "b")]) == [""]


@pytest.mark.parametrize(
    "item",
    [
        b"",
        b"\xa1\x41a",
        b"\x19\x00",
        b"\x45abc",
        b"\x1c",
        b"\xa1\x01\x02",
        b"\x81" * 300,
        b"\x5f\x01\xff",
        b"\x5f\x5f\xff\xff",
        b"\xa1\x41\xff\x01",
    ],
)
def test_what_is_torn_or_no_cbor_is_said(item: bytes):
    with pytest.raises(UnreadableCborError):
        cbor.texts(item, [("a",)])


@pytest.mark.parametrize("value", [-1, 2**64, 1.5, None])
def test_only_what_a_status_is_made_of_is_written(value: object):
    with pytest.raises(TypeError):
        cbor.encode(value)
