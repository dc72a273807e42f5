"""A cluster that belongs to somebody else: nothing it answers reaches a client but a status, listed headers and data.

First the heads, one header name and one status at a time. Then whole answers as raw bytes, written by a server in the
API server's place: they pass agentk's real connection, its relay and kas' front, and the client sees a whole answer or
a connection that breaks off, never a torn answer that looks whole and never two.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import pytest

from kasbah.kas.http_server.router import PROXY_PREFIX
from kasbah.wire import response_policy
from kasbah.wire.response_policy import SECURITY_HEADERS, RefusedResponseError
from tests.doubles.bridged_agent import bridged_agent
from tests.doubles.loopback_server import serving
from tests.doubles.proxy_scene import make_scene

PASSES = {
    "Audit-Id",
    "Content-Encoding",
    "Content-Type",
    "Date",
    "Etag",
    "Last-Modified",
    "Retry-After",
    "Warning",
}
PASSES |= {
    "Accept-Ranges",
    "Content-Range",
    "X-Kubernetes-Pf-Flowschema-Uid",
    "X-Kubernetes-Pf-Prioritylevel-Uid",
}
OURS = {line.partition(b":")[0].decode() for line in SECURITY_HEADERS.split(b"\r\n") if line} | {
    "Via",
    "Server",
}
_FAMILIES = {
    "Access-Control": ["Allow-Origin", "Allow-Credentials", "Allow-Headers", "Allow-Methods", "Expose-Headers", "Max-Age"],
    "Content": ["Disposition", "Language", "Location", "Md5", "Range", "Script-Type", "Security-Policy", "Security-Policy-Report-Only", "Style-Type"],
    "Cross-Origin": ["Embedder-Policy", "Opener-Policy", "Resource-Policy", "Embedder-Policy-Report-Only"],
    "Proxy": ["Authenticate", "Authentication-Info", "Connection", "Status", "Features", "Instruction"],
    "Sec-Websocket": ["Accept", "Extensions", "Protocol", "Version", "Key"],
    "Surrogate": ["Control", "Capability", "Key"],
    "X-Accel": ["Redirect", "Buffering", "Charset", "Expires", "Limit-Rate"],
    "X-Forwarded": ["For", "Host", "Proto", "Port", "Server", "User", "Groups", "Prefix"],
    "X-Remote": ["User", "Group", "Extra-A", "Uid"],
    "Impersonate": ["User", "Group", "Uid", "Extra-A"],
    "X-Amz": ["Cf-Id", "Cf-Pop", "Request-Id", "Id-2", "Security-Token", "Website-Redirect-Location", "Expiration", "Meta-A"],
    "X-Goog": ["Iap-Jwt-Assertion", "Authenticated-User-Email", "Generation", "Hash", "Storage-Class", "Meta-A"],
    "X-Ms": ["Request-Id", "Client-Request-Id", "Error-Code", "Copy-Source", "Meta-A", "Version"],
    "Cf": ["Cache-Status", "Connecting-Ip", "Ray", "Visitor", "Worker", "Ew-Via", "Ipcountry"],
    "X-Cache": ["", "Hits", "Lookup", "Status", "Key", "Tags"],
    "X-Akamai": ["Edgescape", "Request-Id", "Session-Info", "Staging", "Transformed"],
    "Akamai": ["Cache-Status", "Grn", "Origin-Hop", "Request-Bc"],
    "Fastly": ["Debug", "Client-Ip", "Ff", "Io-Info", "Restarts", "Ssl", "Stats"],
    "X-Varnish": ["", "Cache", "Hits", "Ttl", "Url"],
    "X-Litespeed": ["Cache", "Cache-Control", "Location", "Purge", "Tag", "Vary"],
    "Sec": ["Gpc", "Token-Binding", "Ch-Ua", "Ch-Ua-Mobile", "Fetch-Dest", "Fetch-Mode", "Fetch-Site", "Purpose", "Browsing-Topics"],
    "X-Content": ["Type-Options", "Duration", "Powered-By", "Security-Policy", "Encoded-By"],
    "X-Permitted": ["Cross-Domain-Policies"],
    "Gitlab": ["Unauthorized", "Sv", "Lb", "Workhorse-Send-Data", "Agent-Id", "Kas-Api-Request", "Agentk-Api-Request"],
    "X-Gitlab": ["Event", "Token", "Meta", "Gitaly-Correlation-Id", "Custom-Error"],
    "X-Docker": ["Token", "Endpoints", "Registry-Version"],
    "Grpc": ["Status", "Message", "Encoding", "Accept-Encoding", "Timeout", "Metadata-A"],
    "Www": ["Authenticate"],
    "X-Wap": ["Profile", "Tod", "Tod-Coded"],
    "X-Envoy": ["Upstream-Service-Time", "Decorator-Operation", "Overloaded", "Original-Path", "Attempt-Count", "Immediate-Health-Check-Fail"],
    "X-B3": ["Traceid", "Spanid", "Sampled", "Flags", "Parentspanid"],
    "X-Aws": ["Ec2-Metadata-Token", "Waf-Action"],
    "Critical": ["Ch"], "Accept": ["", "Ch", "Ch-Lifetime", "Charset", "Datetime", "Encoding", "Features", "Language", "Patch", "Post", "Ranges", "Signature", "Additions"],
    "If": ["", "Match", "Modified-Since", "None-Match", "Range", "Schedule-Tag-Match", "Unmodified-Since"],
    "Repeatability": ["Client-Id", "First-Sent", "Request-Id", "Result"],
    "Memento": ["Datetime"], "Schedule": ["Reply", "Tag"], "Caldav": ["Timezones"], "Oscore": [""], "Sunset": [""], "Signature": ["", "Input"],
    "Attribution-Reporting": ["Eligible", "Register-Source", "Register-Trigger", "Support"],
    "Supports": ["Loading-Mode", "Fenced-Frames"], "Speculation": ["Rules"], "Permissions": ["Policy"], "Feature": ["Policy"], "Document": ["Policy"],
    "Optional": ["WWW-Authenticate"], "Authentication": ["Control", "Info"], "Activate": ["Storage-Access"], "Set": ["Cookie", "Cookie2", "Login"],
}  # fmt: skip
_ALONE = ["Age", "Allow", "Alpn", "Alt-Svc", "Alt-Used", "Apply-To-Redirect-Ref", "Authorization", "A-Im", "C-Ext", "C-Man", "C-Opt", "C-Pep", "C-Pep-Info", "Cache-Control", "Cache-Status", "Cal-Managed-Id", "Capsule-Protocol", "Cdn-Cache-Control", "Cdn-Loop", "Cert-Not-After", "Cert-Not-Before", "Clear-Site-Data", "Client-Cert", "Client-Cert-Chain", "Close", "Configuration-Context", "Connection", "Cookie", "Cookie2", "Dasl", "Dav", "Default-Style", "Delta-Base", "Deprecation", "Depth", "Derived-From", "Destination", "Device-Memory", "Differential-Id", "Digest", "Dnt", "Dpop", "Dpop-Nonce", "Dpr", "Early-Data", "Ediint-Features", "Edge-Control", "Expect", "Expect-Ct", "Expires", "Ext", "Forwarded", "From", "Front-End-Https", "Getprofile", "Hobareg", "Host", "Http2-Settings", "Im", "Include-Referred-Token-Binding-Id", "Incremental", "Isolation", "Jwt-Assertion", "Keep-Alive", "Label", "Large-Allocation", "Last-Event-Id", "Link", "Link-Template", "Location", "Lock-Token", "Man", "Max-Forwards", "Meter", "Method-Check", "Method-Check-Expires", "Mime-Version", "Negotiate", "Nel", "Observe-Browsing-Topics", "Odata-Entityid", "Odata-Isolation", "Odata-Maxversion", "Odata-Version", "Opt", "Ordering-Type", "Origin", "Origin-Agent-Cluster", "Origin-Trial", "Oslc-Core-Version", "Overwrite", "P3p", "Pep", "Pep-Info", "Pics-Label", "Ping-From", "Ping-To", "Position", "Pragma", "Prefer", "Preference-Applied", "Priority", "Profileobject", "Protocol", "Protocol-Info", "Protocol-Query", "Protocol-Request", "Public", "Public-Key-Pins", "Public-Key-Pins-Report-Only", "Range", "Redirect-Ref", "Referer", "Referer-Root", "Referrer-Policy", "Refresh", "Replay-Nonce", "Report-To", "Reporting-Endpoints", "Repr-Digest", "Rtt", "Safe", "Save-Data", "Server", "Server-Timing", "Service-Worker", "Service-Worker-Allowed", "Service-Worker-Navigation-Preload", "Slug", "Soapaction", "Sourcemap", "Status", "Status-Uri", "Strict-Transport-Security", "Subok", "Subst", "Tcn", "Te", "Timeout", "Timing-Allow-Origin", "Title", "Tk", "Topic", "Traceparent", "Tracestate", "Trailer", "Transfer-Encoding", "Ttl", "Upgrade", "Upgrade-Insecure-Requests", "Urgency", "Uri", "Use-As-Dictionary", "User-Agent", "Variant-Vary", "Vary", "Via", "Viewport-Width", "Want-Digest", "Want-Content-Digest", "Want-Repr-Digest", "Warning-Text", "Width", "X-Att-Deviceid", "X-Cdn", "X-Client-Data", "X-Client-Ip", "X-Cnection", "X-Correlation-Id", "X-Csrf-Token", "X-Device-Accept", "X-Dns-Prefetch-Control", "X-Download-Options", "X-Firefox-Spdy", "X-Frame-Options", "X-Ft", "X-Hw", "X-Iinfo", "X-Kas-Secret", "X-Moz", "X-Nginx-Cache", "X-Nf-Request-Id", "X-Page-Speed", "X-Pingback", "X-Powered-By", "X-Proxy-Cache", "X-Rack-Cache", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Real-Ip", "X-Redirect-By", "X-Request-Id", "X-Requested-With", "X-Robots-Tag", "X-Runtime", "X-Sendfile", "X-Served-By", "X-Sourcefiles", "X-Sourcemap", "X-Timer", "X-Turbo-Charged-By", "X-Ua-Compatible", "X-Uidh", "X-Upstream", "X-Vercel-Id", "X-Wp-Nonce", "X-Xss-Protection"]  # fmt: skip
NAMES = _ALONE + [f"{family}-{name}".rstrip("-") for family, names in _FAMILIES.items() for name in names]


def admitted(status: int, *lines: str) -> response_policy.ClientResponse:
    raw = "\r\n".join((f"HTTP/1.1 {status} Reason", *lines, "", ""))
    return response_policy.admit(raw.encode("latin-1"), bodiless=False, gzip_accepted=True)


def names_of(lines: bytes) -> set[str]:
    return {line.partition(b":")[0].decode() for line in lines.split(b"\r\n")[1:] if line}


def test_of_four_hundred_headers_only_those_on_the_list_arrive(tally):
    assert len(set(NAMES)) >= 400
    for name in NAMES:
        for value in ("evil", "http://evil/", "a, b"):
            try:
                lines = admitted(200, f"{name}: {value}", f"{name.upper()}: {value}").lines
            except RefusedResponseError:
                tally("the whole answer refused")
                continue
            assert names_of(lines) <= PASSES | OURS, name
            if name not in PASSES:
                assert b"evil" not in lines, name
            tally("passed" if b"evil" in lines else "left behind")
    every = [f"{name}: evil" for name in NAMES if name not in {"Transfer-Encoding", "Content-Length"}]
    for some in (every[at : at + 90] for at in range(0, len(every), 90)):
        with contextlib.suppress(RefusedResponseError):
            assert names_of(admitted(200, *some).lines) <= PASSES | OURS


def test_every_status_is_passed_on_or_refused(tally):
    for status in range(100, 600):
        try:
            response = admitted(status, "Content-Length: 0", "Location: http://evil/")
        except RefusedResponseError:
            assert status < 200 or (300 <= status < 400 and status != 304)
            tally("refused")
            continue
        assert (response.status, b"evil" in response.lines) == (status, False)
        assert response.bodiless == (status in {204, 304})
        tally("passed on")


TYPES = ["", "text/html", "text/html; charset=utf-8", "application/json\r\nContent-Type: text/html", "image/svg+xml", "text", "a/b/c", "text/\x01",
         'text/plain; a="\x7f"', "multipart/x-mixed-replace; boundary=x", "application/json,text/html", "\xe9/x", "application/json; charset", "*/*"]  # fmt: skip


def test_a_media_type_is_one_of_a_strict_grammar_or_plain_bytes(tally):
    for value in TYPES:
        try:
            lines = admitted(200, f"Content-Type: {value}").lines
        except RefusedResponseError:
            tally("refused")
            continue
        types = [line for line in lines.split(b"\r\n") if line.startswith(b"Content-Type: ")]
        assert len(types) == 1
        assert types[0] == b"Content-Type: application/octet-stream" or types[0][14:].decode() == value
        assert b"nosniff" in lines
        assert b"default-src 'none'; sandbox" in lines
        tally("plain bytes" if b"octet-stream" in types[0] else "as it came")


OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What the server in the API server's place writes, and what the client may then see."""

    said: bytes
    body: bytes | None = None
    """The whole body the client gets with status 200; None: a 502, or a connection that breaks off."""


RAW = {
    "a length": Raw(said=JSON + b"Content-Length: 2\r\n\r\n{}", body=b"{}"),
    "chunks": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", body=b"{}"),
    "chunks with an extension": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", body=b"{}"),
    "chunks with a trailer": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nSet-Cookie: evil\r\n\r\n", body=b"{}"),
    "until the end": Raw(said=JSON + b"Connection: close\r\n\r\n{}", body=b"{}"),
    "an interim answer": Raw(said=b"HTTP/1.1 100 Continue\r\n\r\n" + JSON + b"Content-Length: 2\r\n\r\n{}", body=b"{}"),
    "early hints": Raw(said=b"HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n" + JSON + b"Content-Length: 2\r\n\r\n{}", body=b"{}"),
    "nothing": Raw(said=b""),
    "less than its length": Raw(said=JSON + b"Content-Length: 5\r\n\r\n{}"),
    "more than its length": Raw(said=JSON + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", body=b"{}"),
    "a second answer": Raw(said=JSON + b"Content-Length: 2\r\n\r\n{}" + JSON + b"Content-Length: 4\r\n\r\nevil", body=b"{}"),
    "two lengths": Raw(said=JSON + b"Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}ab"),
    "two lengths in one": Raw(said=JSON + b"Content-Length: 2, 4\r\n\r\n{}ab"),
    "a length and chunks": Raw(said=JSON + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "a negative length": Raw(said=JSON + b"Content-Length: -1\r\n\r\n{}"),
    "a huge length": Raw(said=JSON + b"Content-Length: 99999999999999999999\r\n\r\n{}"),
    "a length of words": Raw(said=JSON + b"Content-Length: two\r\n\r\n{}"),
    "gzip and chunks": Raw(said=JSON + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    "an unknown transfer": Raw(said=JSON + b"Transfer-Encoding: evil\r\n\r\n{}"),
    "chunks that stop": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
    "half a chunk": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}"),
    "a chunk of no size": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than said": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"),
    "a chunk of a huge size": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n{}"),
    "endless trailers": Raw(said=JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 30_000),
    "no HTTP": Raw(said=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "HTTP/2's preface": Raw(said=b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)),
    "another version": Raw(said=b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "a status of two digits": Raw(said=b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "a status of four digits": Raw(said=b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "status 000": Raw(said=b"HTTP/1.1 000 OK\r\nContent-Length: 2\r\n\r\n{}"),
    "status 999": Raw(said=b"HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\n{}"),
    "a header without a colon": Raw(said=OK + b"evil\r\nContent-Length: 2\r\n\r\n{}"),
    "a header without a name": Raw(said=OK + b": evil\r\nContent-Length: 2\r\n\r\n{}"),
    "a folded header": Raw(said=OK + b"A: b\r\n evil\r\nContent-Length: 2\r\n\r\n{}"),
    "a NUL": Raw(said=OK + b"Etag: a\x00b\r\nContent-Length: 2\r\n\r\n{}"),
    "a bare CR": Raw(said=OK + b"Etag: a\rSet-Cookie: evil\r\nContent-Length: 2\r\n\r\n{}"),
    "bare LFs": Raw(said=b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"),
    "endless headers": Raw(said=OK + b"A: b\r\n" * 30_000),
    "a thousand headers": Raw(said=OK + b"A: b\r\n" * 1000 + b"Content-Length: 2\r\n\r\n{}"),
    "a header of a megabyte": Raw(said=OK + b"A: " + b"b" * (1 << 20)),
    "a hundred interim answers": Raw(said=b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "a switch nobody asked for": Raw(said=b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nevil"),
    "a redirect": Raw(said=b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n"),
    "brotli nobody asked for": Raw(said=JSON + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"),
    "gzip nobody asked for": Raw(said=JSON + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
}  # fmt: skip


async def ask(port: int, said: bytes) -> bytes:
    """Everything the client hears when the API server says this."""
    heard = b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = (
        b"GET "
        + PROXY_PREFIX
        + b"api/v1/pods HTTP/1.1\r\nHost: kas\r\nAuthorization: Bearer pat:7:good\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                heard = await reader.read()
    except TimeoutError:
        raise AssertionError(f"no end of the answer to {said[:60]!r}") from None
    finally:
        writer.transport.abort()
    return heard


def unchunked(body: bytes) -> bytes | None:
    """The chunks' content; None when they do not end."""
    whole = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if not size or not rest:
            return None
        if (length := int(size, 16)) == 0:
            return whole if rest == b"\r\n" else None
        whole, body = whole + rest[:length], rest[length + 2 :]


def verdict(heard: bytes, raw: Raw) -> str:
    head, _, body = heard.partition(b"\r\n\r\n")
    assert b"evil" not in head
    assert heard.count(b"HTTP/1.1 ") <= 1 or b"HTTP/1.1 " in body
    status = head[9:12]
    if status == b"502":
        assert raw.body is None
        assert b'"kind":"Status"' in body
        return "a 502 that says why"
    if b"Transfer-Encoding: chunked" in head:
        whole = unchunked(body)
    else:
        length = next(
            (int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")), -1
        )
        whole = body if len(body) == length else None
    assert whole == raw.body, heard
    return "broken off" if whole is None else "whole"


@pytest.mark.asyncio
@pytest.mark.timeout(120)
async def test_no_answer_is_torn_doubled_or_made_up(tally):
    said = [b""]

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said[0])
        with contextlib.suppress(ConnectionError):
            await writer.drain()

    async with (
        serving(speak) as server,
        bridged_agent(server.port) as agent,
        make_scene(tunnels=agent) as scene,
    ):
        for what, raw in RAW.items():
            said[0] = raw.said
            heard = await ask(scene.server.addresses[0][1], raw.said)
            try:
                tally(verdict(heard, raw))
            except AssertionError as error:
                raise AssertionError(f"{what}: {error}") from error
