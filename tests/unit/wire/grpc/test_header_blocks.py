"""What is remembered of header blocks: only what still means the same."""

from __future__ import annotations

from hpack import Decoder, Encoder
from hypothesis import given
from hypothesis import strategies as st

from kasbah.wire.grpc.header_blocks import BlockDecoder, BlockEncoder

HEAD = [(b":status", b"200"), (b"content-type", b"application/grpc")]
names = st.sampled_from([b":status", b"x-one", b"x-two", b"grpc-status"])
values = st.sampled_from([b"", b"200", b"0", b"a" * 40, b"b" * 90])
lists = st.lists(st.tuples(names, values), min_size=1, max_size=4)
sizes = st.sampled_from([0, 100, 200, 4096])


@given(st.lists(st.one_of(lists, sizes), max_size=40))
def test_both_ends_say_and_hear_what_hpack_itself_does(steps: list[list[tuple[bytes, bytes]] | int]):
    encoder, plain_encoder, decoder, plain_decoder = BlockEncoder(), Encoder(), BlockDecoder(), Decoder()
    for step in steps:
        if isinstance(step, int):  # the peer's table becomes larger or smaller
            encoder.header_table_size = step
            if step != plain_encoder.header_table_size:  # told the same twice, hpack forgets to tell its peer
                plain_encoder.header_table_size = step
            continue
        block = encoder.encode(step)
        assert block == plain_encoder.encode(step)
        assert list(decoder.decode(block, raw=True)) == list(plain_decoder.decode(block, raw=True)) == step


def test_what_is_in_the_table_is_not_worked_out_again():
    encoder, decoder = BlockEncoder(), BlockDecoder()
    decoder.decode(encoder.encode(HEAD), raw=True)  # fills the tables
    block = encoder.encode(HEAD)
    assert encoder.encode(HEAD) is block
    assert decoder.decode(block, raw=True) is decoder.decode(block, raw=True)


def test_a_change_of_the_table_changes_what_a_block_means():
    encoder, decoder = BlockEncoder(), BlockDecoder()
    for headers in (HEAD, HEAD, [(b"x-new", b"1")], HEAD):
        assert list(decoder.decode(encoder.encode(headers), raw=True)) == headers


def test_a_size_that_is_said_twice_is_told_all_the_same():
    encoder, decoder = BlockEncoder(), BlockDecoder()
    encoder.encode(HEAD)
    for size in (0, 100, 100):
        encoder.header_table_size = size
    for _ in range(2):
        assert list(decoder.decode(encoder.encode(HEAD), raw=True)) == HEAD


def test_a_peer_with_ever_new_blocks_fills_no_memory():
    decoder = BlockDecoder()
    decoder.decode(b"\x00\x01a\x7f\xb1\x08" + bytes(1200), raw=True)
    assert not decoder.header_table.known
    for number in range(1000):
        decoder.decode(b"\x00\x01a\x04%04d" % number, raw=True)
    assert len(decoder.header_table.known) == 64


def test_a_block_that_stands_for_very_many_fields_is_not_kept():
    decoder = BlockDecoder()
    assert len(list(decoder.decode(b"\x82" * 500, raw=True))) == 500
    assert not decoder.header_table.known
