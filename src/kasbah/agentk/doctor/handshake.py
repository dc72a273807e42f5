"""What the answer to the WebSocket handshake means, and which kas gives it."""

from __future__ import annotations

import re

from kasbah import __version__
from kasbah.agentk.reverse_tunnel import websocket_handshake
from kasbah.agentk.reverse_tunnel.settings import ReverseTunnelSettings, TunnelChoice
from kasbah.errors import PeerError
from kasbah.kit.doctor import http_faults
from kasbah.kit.doctor.check import FaultError, Finding
from kasbah.kit.doctor.link import Answer
from kasbah.wire.kubernetes_status import is_from_kas

_SERVER = re.compile(r"kasbah-kas/(\S+)")
KAS_PATH = "/-/kubernetes-agent/"


def judge(answer: Answer, head: bytes, key: bytes, settings: ReverseTunnelSettings) -> TunnelChoice:
    """The tunnel that kas chose.

    Raises:
        FaultError: it is not kas that answers, or something in between spoils the handshake.
    """
    if answer.status != 101:
        raise _refusal(answer, settings.address.target)
    try:
        return websocket_handshake.chosen_tunnel(head, key, settings)
    except PeerError as error:
        if "sec-websocket-protocol" in answer.headers:
            raise FaultError("websocket-wrong-answer", str(error), _UNTOUCHED) from error
        raise FaultError(
            "websocket-no-subprotocol",
            f"{answer.who} takes the WebSocket and chooses no tunnel",
            "check that the address leads to kas (its path, too), and that proxies pass Sec-WebSocket-Protocol",
        ) from error


_UNTOUCHED = "let the proxy pass the WebSocket's headers on as they are"


def _refusal(answer: Answer, target: str) -> FaultError:
    if answer.status == 503 and b"shutting down" in answer.body:
        return FaultError("kas-stopping", "kas is shutting down", "try again in a minute")
    if answer.status == 400 and answer.body.startswith(b"agents send no Origin"):
        return FaultError(
            "websocket-origin", "something adds an Origin header", "remove it: --kas-header, or the proxy"
        )
    if answer.status == 404 and answer.body.startswith(b"this is kas"):  # alone, it takes agents at any path
        return http_faults.upgrade_dropped(answer, "kas")
    if is_from_kas(answer.headers, answer.body):
        return FaultError(
            "http-wrong-path",
            f"{answer.summary} for {target}: this is kas' Kubernetes API, where people ask, and not where agents dial",
            f"use the address for agents: its own port, or {KAS_PATH} of this server",
        )
    return http_faults.of(answer, server="kas", target=target)


def elsewhere(refusal: FaultError, answer: Answer, target: str, *, here: Answer, usual: Answer) -> FaultError:
    """A better word for a 404, by what answers below the same path and below the usual one.

    Args:
        refusal: what it looked like at first.
        answer: the answer to the handshake.
        target: the path of the handshake.
        here: the answer of what would be kas' other door below that path, asked without credentials.
        usual: the same below `KAS_PATH`.
    """
    if is_from_kas(here.headers, here.body):
        return http_faults.upgrade_dropped(answer, "kas")
    if is_from_kas(usual.headers, usual.body):
        return FaultError(
            "http-wrong-path",
            f"{answer.summary} for {target}: kas is at {KAS_PATH} of this server",
            f"end the address with {KAS_PATH}",
        )
    return refusal


def version(server: str) -> Finding:
    """Whether kas, by its `Server` header, is of our version."""
    match = _SERVER.search(server)
    if match is None:
        return Finding(
            seen=f"kas does not say its version ({server or 'no Server header'}); agentk is {__version__}"
        )
    if _minor(match[1]) == _minor(__version__):
        return Finding(seen=f"kas is {match[1]}, agentk is {__version__}")
    return Finding(
        seen=f"kas is {match[1]}, agentk is {__version__}",
        warning="version-differs",
        advice="run both in the same minor version; kas is brought up to date first",
    )


def _minor(text: str) -> list[str]:
    return text.removeprefix("v").split(".")[:2]
