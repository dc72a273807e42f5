from __future__ import annotations

from kasbah.wire.session_recording.channels import FROM_CLIENT, FROM_CLUSTER, Channel


def test_each_channel_comes_from_one_side():
    assert set(Channel) == FROM_CLIENT | FROM_CLUSTER
    assert not FROM_CLIENT & FROM_CLUSTER
