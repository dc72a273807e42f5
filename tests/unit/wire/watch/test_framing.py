from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kasbah.wire.watch.framing import CborScanner, LengthScanner, LineScanner, Scanner, UnreadableFramingError
from tests.doubles.watch_events import cbor_event, json_event, protobuf_event

ENCODINGS = [
    (LineScanner, json_event),
    (LengthScanner, protobuf_event),
    (CborScanner, cbor_event),
]
NESTED = bytes.fromhex(
    "d9d9f7"  # self-described
    "bf"  # a map without a length
    "41619f0102ff"  # a: [_ 1, 2]
    "41625f41004101ff"  # b: (_ h'00', h'01')
    "4163fb3ff0000000000000"  # c: 1.0
    "4164a0"  # d: {}
    "4165f6"  # e: null
    "416680"  # f: []
    "416740"  # g: h''
    "ff"
)


def cut(scanner: Scanner, data: bytes, sizes: list[int]) -> list[bytes]:
    """The events in these bytes, when they come in pieces of these sizes."""
    events, event, rest = [], b"", data
    for size in [*sizes, len(data)]:
        piece, rest = rest[:size], rest[size:]
        start = 0
        while start < len(piece):
            end = scanner.end_of_event(piece, start)
            event += piece[start : end or len(piece)]
            if not end:
                break
            events.append(event)
            event, start = b"", end
    assert event == b""
    return events


@pytest.mark.parametrize(("scanner", "event"), ENCODINGS)
@settings(max_examples=50, deadline=None)
@given(paddings=st.lists(st.text(max_size=300), min_size=1, max_size=5), sizes=st.lists(st.integers(1, 40)))
def test_events_are_found_however_they_are_cut(
    scanner: Callable[[], Scanner],
    event: Callable[[str, int, str], bytes],
    paddings: list[str],
    sizes: list[int],
):
    events = [event("ADDED", number, padding) for number, padding in enumerate(paddings)]
    assert cut(scanner(), b"".join(events), sizes) == events


def test_an_empty_message_is_an_event_of_four_bytes():
    assert cut(LengthScanner(), bytes(8), [3, 3]) == [bytes(4), bytes(4)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_every_kind_of_cbor_is_stepped_over(size: int):
    assert cut(CborScanner(), NESTED * 2, [size] * (2 * len(NESTED) // size)) == [NESTED, NESTED]


@pytest.mark.parametrize("data", [b"\xff", b"\x1c", b"\x3f", b"\x81" * 200])
def test_what_cannot_be_cbor_is_refused(data: bytes):
    with pytest.raises(UnreadableFramingError):
        CborScanner().end_of_event(data, 0)
