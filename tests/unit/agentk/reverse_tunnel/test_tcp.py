"""Which address has how long; the sockets are in tests/integration."""

from __future__ import annotations

import pytest

from kasbah.agentk.reverse_tunnel import tcp


@pytest.mark.parametrize(
    ("left_s", "addresses", "share_s"),
    [
        (30, 1, 30),  # the last one may use what is left
        (30, 3, 10),
        (30, 100, 2),  # nobody is given so little that it cannot answer
        (1, 2, 1),  # and nobody more than there is
    ],
)
def test_an_address_that_swallows_packets_has_only_its_share(left_s: float, addresses: int, share_s: float):
    assert tcp.share(left_s, addresses) == share_s
