from __future__ import annotations

import pytest

from kasbah import __version__
from kasbah.agentk.doctor import handshake
from kasbah.agentk.reverse_tunnel.address import parse_kas_address
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SETTINGS = ReverseTunnelSettings(address=parse_kas_address("wss://kas.example/-/kubernetes-agent/"))
HEAD = b"HTTP/1.1 101 x\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: %b"
OF_KAS = Answer(status=401, headers={"gitlab-unauthorized": "true"})
NOBODY = Answer(status=404)


def test_a_good_answer_says_the_tunnel():
    taken = Answer(status=101, headers={"sec-websocket-protocol": "kasbah.v1"})
    assert handshake.judge(taken, HEAD % b"kasbah.v1", KEY, SETTINGS) is TunnelChoice.NATIVE
    assert handshake.judge(taken, HEAD % b"ws-tunnel", KEY, SETTINGS) is TunnelChoice.GRPC


@pytest.mark.parametrize(
    ("answer", "head", "fault"),
    [
        (Answer(status=101), b"HTTP/1.1 101 x\r\nsec-websocket-accept: x", "websocket-no-subprotocol"),
        (
            Answer(status=101, headers={"sec-websocket-protocol": "chat"}),
            HEAD % b"chat",
            "websocket-wrong-answer",
        ),
        (Answer(status=503, body=b"this kas is shutting down\n"), b"", "kas-stopping"),
        (Answer(status=503), b"", "http-gateway"),
        (Answer(status=400, body=b"agents send no Origin; a page may not"), b"", "websocket-origin"),
        (Answer(status=404), b"", "http-wrong-path"),
        (Answer(status=404, body=b"this is kas; nothing is here\n"), b"", "http-upgrade-dropped"),
        (OF_KAS, b"", "http-wrong-path"),
    ],
)
def test_every_other_answer_has_a_name(answer: Answer, head: bytes, fault: str):
    with pytest.raises(FaultError) as found:
        handshake.judge(answer, head, KEY, SETTINGS)
    assert found.value.fault == fault


@pytest.mark.parametrize(
    ("here", "usual", "fault"),
    [
        (OF_KAS, NOBODY, "http-upgrade-dropped"),
        (NOBODY, OF_KAS, "http-wrong-path"),
        (NOBODY, NOBODY, "as-before"),
    ],
)
def test_what_answers_beside_it_tells_a_404_better(here: Answer, usual: Answer, fault: str):
    before = FaultError("as-before", "404", "")
    assert handshake.elsewhere(before, Answer(status=404), "/agents", here=here, usual=usual).fault == fault


@pytest.mark.parametrize(
    ("server", "warning"),
    [
        (f"kasbah-kas/{__version__}", ""),
        ("kasbah-kas/99.1.0", "version-differs"),
        ("nginx", ""),
        ("", ""),
    ],
)
def test_another_minor_version_is_worth_a_word(server: str, warning: str):
    assert handshake.version(server).warning == warning
