"""The way to a server: proxy, name, TCP, CONNECT and TLS, each a look of its own, and `open` for whoever goes on."""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from kasbah.kit.doctor import certificate
from kasbah.kit.doctor.certificate import Trust
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.link import Answer, Exchange, Link, closing
from kasbah.kit.http_proxy import ProxyAddress

_ADDRESS_S: Final = 4.0
_ADDRESSES: Final = 4
"""More than these are not tried: each costs a person seconds when it is dead."""
_TRY: Final = "try from another machine; look at routes and firewalls between here and there"

Address = tuple[socket.AddressFamily, Any]


@dataclass(slots=True, kw_only=True)
class Way:
    """One server and how it is reached. Not frozen: the looks keep what they learn."""

    name: str
    """Checks are called `<name>.dns` and so on."""
    host: str
    port: int
    context: ssl.SSLContext | None
    """None: no TLS."""
    server_name: str
    trust: Trust
    proxy: ProxyAddress | None = None
    proxy_says: str = "no proxy is set"
    """Why there is a proxy or none: the variable that says so."""
    protocol: str = ""
    """What ALPN must choose, if the far end chooses."""
    addresses: list[Address] = field(default_factory=list)
    """Those that answered."""

    @property
    def where(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def next_hop(self) -> tuple[str, int]:
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    def checks(self, *needs: str) -> list[Check]:
        """In order; the last one's name is `last`."""
        name, (hop, port) = self.name, self.next_hop
        found = [
            Check(name=f"{name}.proxy", doing="which proxy", look=self._look_at_proxy, needs=needs),
            Check(name=f"{name}.dns", doing=f"resolve {hop}", look=self._resolve, needs=(f"{name}.proxy",)),
            Check(
                name=f"{name}.tcp",
                doing=f"connect to {hop}:{port}",
                look=self._connect,
                needs=(f"{name}.dns",),
                limit_s=_ADDRESSES * _ADDRESS_S + 2,
            ),
        ]
        if self.proxy:
            doing = f"ask the proxy for a way to {self.where}"
            found.append(
                Check(
                    name=f"{name}.connect", doing=doing, look=self._look_at_connect, needs=(found[-1].name,)
                )
            )
        if self.context:
            doing = f"TLS with {self.server_name}"
            found.append(
                Check(name=f"{name}.tls", doing=doing, look=self._look_at_tls, needs=(found[-1].name,))
            )
        return found

    @property
    def last(self) -> str:
        """The check that whoever goes on needs."""
        return f"{self.name}.{'tls' if self.context else 'connect' if self.proxy else 'tcp'}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        """A connection whose TLS is done; raises FaultError or OSError."""
        link = await self._dial()
        try:
            if self.context:
                await link.secure(self.context, self.server_name)
            yield link
        finally:
            await closing(link)

    async def ask(self, request: bytes) -> Answer:
        """One request on a connection of its own; raises as `open` and `Exchange.whole`."""
        async with self.open() as link:
            return await Exchange(link).whole(request)

    async def speaks_tls(self) -> bool:
        """Whether the far end takes a TLS handshake, whatever its certificate."""
        with suppress(OSError, FaultError):
            link = await self._dial()
            try:
                async with asyncio.timeout(_ADDRESS_S):
                    await link.secure(certificate.unverifying(), self.server_name)
            finally:
                await closing(link)
            return True
        return False

    # The looks

    async def _look_at_proxy(self) -> Finding:
        if self.proxy is None:
            return Finding(seen=f"none: {self.proxy_says}")
        with_password = " with a user name and a password" if self.proxy.credentials else ""
        return Finding(seen=f"{self.proxy.host}:{self.proxy.port}{with_password}, {self.proxy_says}")

    async def _resolve(self) -> Finding:
        host, port = self.next_hop
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise _no_address(host, error) from error
        except UnicodeError as error:
            raise FaultError(
                "dns-no-such-name", f"{host!r} is no host name: {error}", "correct the name"
            ) from error
        self.addresses = [(family, address) for family, _, _, _, address in found]
        texts = list(dict.fromkeys(str(address[0]) for _, address in self.addresses))
        return Finding(seen="an address, no name" if texts == [host] else f"{host} is {', '.join(texts)}")

    async def _connect(self) -> Finding:
        tried = self.addresses[:_ADDRESSES]
        problems: dict[str, OSError] = {}
        working: list[Address] = []
        for family, address in tried:
            try:
                link = await _reach((family, address))
            except OSError as error:
                problems[str(address[0])] = error
            else:
                working.append((family, address))
                await closing(link)
        host, port = self.next_hop
        if not working:
            raise _unreachable(host, port, problems)
        self.addresses = working
        reached = ", ".join(str(address[0]) for _, address in working)
        if problems:
            dead = "; ".join(f"{text}: {_why(error)}" for text, error in problems.items())
            return Finding(
                seen=f"{reached} takes connections to port {port}, but {dead}",
                warning="tcp-some-addresses",
                advice=f"correct the addresses of {host} in DNS, or what stands behind the dead ones",
            )
        return Finding(seen=f"{reached} takes connections to port {port}")

    async def _look_at_connect(self) -> Finding:
        link = await self._dial()
        await closing(link)
        return Finding(seen=f"the proxy gives a way to {self.where}")

    async def _look_at_tls(self) -> Finding:
        if self.context is None:
            return Finding(seen="none")
        link = await self._dial()
        try:
            secured = await link.secure(self.context, self.server_name)
            shown = certificate.read(secured.getpeercert() or {})
            version, chosen = secured.version(), secured.selected_alpn_protocol()
        except ssl.SSLCertVerificationError as error:
            raise await self._distrust(error) from error
        except OSError as error:
            raise _no_tls(self.where, error) from error
        finally:
            await closing(link)
        if self.protocol and chosen not in {self.protocol, None}:
            raise FaultError(
                "tls-no-http2",
                f"{self.where} chooses {chosen} and not HTTP/2, which gRPC needs",
                "use kas' own port, or wss:// through this web server",
            )
        return self._trusted(shown, version or "TLS")

    def _trusted(self, shown: certificate.Certificate, version: str) -> Finding:
        if shown.not_after is None:
            return Finding(
                seen=f"{version}; the certificate is not verified",
                warning="tls-not-verified",
                advice=f"verify it: {self.trust.remedy}",
            )
        until = f"{shown.not_after:%Y-%m-%d}"
        seen = f"{version}, certificate of {self.server_name} by {shown.issuer!r}, good until {until}"
        if shown.is_about_to_expire(datetime.now(UTC)):
            return Finding(
                seen=seen, warning="tls-expires-soon", advice="renew the certificate of the server"
            )
        return Finding(seen=seen)

    async def _distrust(self, error: ssl.SSLCertVerificationError) -> FaultError:
        shown = certificate.Certificate()
        with suppress(
            OSError, FaultError
        ):  # it was there a moment ago; without it, what OpenSSL says must do
            shown = await self._shown_certificate()
        return certificate.distrust(
            error, shown, self.trust, self.server_name, proxied=self.proxy is not None
        )

    async def _shown_certificate(self) -> certificate.Certificate:
        link = await self._dial()
        try:
            secured = await link.secure(certificate.unverifying(), self.server_name)
            encoded = secured.getpeercert(binary_form=True) or b""
        finally:
            await closing(link)
        link = await self._dial()
        try:
            secured = await link.secure(certificate.unverifying_but_this(encoded), self.server_name)
            return certificate.read(secured.getpeercert() or {})
        finally:
            await closing(link)

    async def _dial(self) -> Link:
        """TCP, and the proxy's way."""
        link = await _reach(self.addresses[0])
        if self.proxy:
            try:
                await self._pass_proxy(link, self.proxy)
            except BaseException:
                await closing(link)
                raise
        return link

    async def _pass_proxy(self, link: Link, proxy: ProxyAddress) -> None:
        lines = [f"CONNECT {self.where} HTTP/1.1", f"Host: {self.where}"]
        if proxy.credentials:
            encoded = base64.b64encode(proxy.credentials.reveal().encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {encoded}")
        await link.send(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await link.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            raise FaultError(
                "proxy-no-answer",
                f"the proxy {proxy.host}:{proxy.port} does not answer CONNECT as an HTTP proxy does",
                "check host and port of the proxy in HTTPS_PROXY or HTTP_PROXY",
            ) from error
        status = head.split(b"\r\n", 1)[0].decode(errors="replace")
        if not status.startswith(("HTTP/1.1 2", "HTTP/1.0 2")):
            raise _proxy_refusal(proxy, self.where, status)


async def _reach(address: Address) -> Link:
    family, (host, port, *_) = address
    try:
        async with asyncio.timeout(_ADDRESS_S):
            return Link(*await asyncio.open_connection(host, port, family=family))
    except TimeoutError as error:
        raise TimeoutError(errno.ETIMEDOUT, "no answer") from error


def _no_address(host: str, error: socket.gaierror) -> FaultError:
    if error.errno in {socket.EAI_AGAIN, socket.EAI_FAIL}:
        return FaultError(
            "dns-no-answer",
            f"the name servers do not answer for {host}: {error.strerror}",
            "look at /etc/resolv.conf and at the name servers it lists; in a cluster, at CoreDNS",
        )
    return FaultError(
        "dns-no-such-name",
        f"there is no host {host}: {error.strerror}",
        "correct the name in the address, or add it to DNS; inside and outside may have other name servers",
    )


def _unreachable(host: str, port: int, problems: dict[str, OSError]) -> FaultError:
    told = "; ".join(f"{text}: {_why(error)}" for text, error in problems.items())
    numbers = {_number(error) for error in problems.values()}
    if errno.ECONNREFUSED in numbers:
        return FaultError(
            "tcp-refused",
            f"nobody listens on port {port} of {host} ({told})",
            "check the port, and that the server runs and listens on this address",
        )
    if errno.ETIMEDOUT in numbers:
        return FaultError(
            "tcp-no-answer",
            f"{host} does not answer on port {port} ({told})",
            f"a firewall drops packets, or the address is wrong: {_TRY}",
        )
    return FaultError("tcp-no-route", f"there is no way to {host} ({told})", _TRY)


def _number(error: OSError) -> int:
    return error.errno or 0


def _why(error: OSError) -> str:
    number = _number(error)
    return os.strerror(number).lower() if number else str(error)


def _no_tls(where: str, error: OSError) -> FaultError:
    reason = getattr(error, "reason", None) or str(error) or type(error).__name__
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return FaultError(
            "tls-not-tls",
            f"{where} does not speak TLS",
            "use the scheme without TLS (ws://, grpc://, http://) or the port with it",
        )
    if "CERTIFICATE_REQUIRED" in str(reason) or "BAD_CERTIFICATE" in str(reason):
        return FaultError(
            "tls-client-certificate",
            f"{where} refuses our certificate, or wants one: {reason}",
            "give a certificate that the server trusts",
        )
    return FaultError(
        "tls-failed",
        f"TLS with {where} fails: {reason}",
        "look at the server's TLS versions, its name for this certificate (SNI), and its log",
    )


def _proxy_refusal(proxy: ProxyAddress, where: str, status: str) -> FaultError:
    name, code = f"{proxy.host}:{proxy.port}", status[9:12]
    if code == "407" and proxy.credentials:
        return FaultError(
            "proxy-wrong-password",
            f"the proxy {name} does not take the user name and password: {status[:128]}",
            "correct them in HTTPS_PROXY or HTTP_PROXY (characters such as @ and : are written %40 and %3A)",
        )
    if code == "407":
        return FaultError(
            "proxy-wants-password",
            f"the proxy {name} wants a user name and a password: {status[:128]}",
            "write them into HTTPS_PROXY or HTTP_PROXY: http://user:password@host:port",
        )
    if code in {"502", "503", "504"}:
        return FaultError(
            "proxy-no-way",
            f"the proxy {name} cannot reach {where}: {status[:128]}",
            "check the name and the port as the proxy sees them",
        )
    return FaultError(
        "proxy-refuses",
        f"the proxy {name} gives no way to {where}: {status[:128]}",
        "let it allow CONNECT to this host and port, or name the host in NO_PROXY",
    )
