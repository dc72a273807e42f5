"""Calls to the shared Redis: each ends in time, and a Redis that is away is said once.

Whoever calls decides what its absence means; here it is one error, after a second or three and never later. There is
no state to heal: the next call that gets through ends the outage. What the rooms keep in Redis is theirs; keys begin
with `key_prefix`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar

import structlog
from prometheus_client import Counter
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kasbah.errors import PeerError
from kasbah.kas.redis.settings import RedisSettings, host_and_port

_log = structlog.get_logger()
_errors: Final = Counter(
    "kasbah_kas_redis_errors", "Calls to Redis that failed, by what they were for.", ["purpose"]
)

_ASK_AFTER_S: Final = 10.0
"""Silence of a subscription after which Redis is asked."""

T = TypeVar("T")


class RedisUnavailableError(PeerError):
    """Redis did not answer."""


class RedisClient:
    """One Redis, as every room shares it. `run` closes its connections at the end.

    Attributes:
        prefix: what every key and channel begins with, a colon included.
        on_back: called at the end of each outage: Redis may have been restarted, and have forgotten everything.
    """

    def __init__(self, settings: RedisSettings) -> None:
        self.prefix = f"{settings.key_prefix}:"
        self._settings = settings
        self._redis, self._sentinel = _connect(settings)
        self._away = False
        self.on_back: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Until cancelled; then close what is open."""
        try:
            await asyncio.Event().wait()
        finally:
            await self._redis.aclose()
            for sentinel in self._sentinel.sentinels if self._sentinel else ():
                await sentinel.aclose()

    async def call(self, purpose: str, work: Callable[[Redis], Awaitable[T]]) -> T:
        """The result of `work`, which may be tried twice: a kept connection may have died unseen.

        Args:
            purpose: for the log and the metric; a constant.
            work: one command or one pipeline; harmless when done again.

        Raises:
            RedisUnavailableError: it took too long, or Redis could not or would not.
        """
        try:
            with _cancellation_kept():
                async with asyncio.timeout(self._settings.call_timeout_s):
                    result = await work(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self.failed(purpose, error)
            raise RedisUnavailableError(f"redis: {_why(error)}", retryable=True) from error
        self.answered()
        return result

    @asynccontextmanager
    async def subscription(self, channel: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Messages of a channel from now on, until the block ends or Redis is gone.

        Raises:
            RedisUnavailableError: Redis could not be reached, or was lost.
        """
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscribed:
            try:
                async with asyncio.timeout(self._settings.call_timeout_s):
                    await subscribed.subscribe(channel)
                self.answered()
                yield _messages(subscribed)
            except (RedisError, OSError, TimeoutError) as error:
                self.failed("subscription", error)
                raise RedisUnavailableError(f"redis: {_why(error)}", retryable=True) from error

    def answered(self) -> None:
        """Redis is there; the end of an outage is said."""
        if self._away:
            self._away = False
            _log.info("redis is back")
            for callback in self.on_back:
                callback()

    def failed(self, purpose: str, error: Exception) -> None:
        """Redis is away; said once an outage."""
        _errors.labels(purpose).inc()
        if not self._away:
            self._away = True
            _log.warning("redis is away", purpose=purpose, error=_why(error))


@contextmanager
def _cancellation_kept() -> Iterator[None]:
    """redis-py loses a cancellation that comes while it looks at a fresh connection: it counts again at the end."""
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        yield
    finally:
        if task and task.cancelling() > before:
            raise asyncio.CancelledError


async def _messages(subscribed: PubSub) -> AsyncIterator[bytes]:
    """What is published; a silent Redis is asked whether it is still there, and must answer."""
    asked = False
    while True:
        with _cancellation_kept():
            message = await subscribed.get_message(timeout=_ASK_AFTER_S)
        if message is None:
            if asked:
                raise ConnectionError("no answer to a ping")
            asked = True
            await subscribed.ping()
        else:
            asked = False
            if message["type"] == "message":
                yield message["data"]


def _connect(settings: RedisSettings) -> tuple[Redis, Sentinel | None]:
    """The client, and the sentinels it asks, if it does; nothing is dialled yet."""
    common: dict[str, Any] = {
        "db": settings.database_index,
        "username": settings.username or None,
        "password": settings.password.reveal() or None,
        "socket_timeout": max(settings.read_timeout_s, settings.write_timeout_s),
        "socket_connect_timeout": settings.dial_timeout_s,
        "health_check_interval": settings.idle_timeout_s,
        "retry": Retry(NoBackoff(), 1),
    }
    tls = _tls(settings)
    if settings.sentinel_master:
        secured: dict[str, Any] = {"ssl": True} | tls if settings.tls else {}
        timeouts = {key: common[key] for key in ("socket_timeout", "socket_connect_timeout", "retry")}
        sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py has not typed it
            [host_and_port(address) for address in settings.addresses],
            sentinel_kwargs=timeouts | secured | {"password": settings.sentinel_password.reveal() or None},
        )
        common |= {"max_connections": settings.pool_size} | secured
        return sentinel.master_for(settings.sentinel_master, **common), sentinel
    common |= {"max_connections": settings.pool_size, "timeout": settings.call_timeout_s}
    if settings.network == "unix":
        common |= {"connection_class": UnixDomainSocketConnection, "path": settings.addresses[0]}
    else:
        host, port = host_and_port(settings.addresses[0])
        common |= {
            "host": host,
            "port": port,
            "connection_class": SSLConnection if settings.tls else Connection,
        }
    return Redis.from_pool(BlockingConnectionPool(**common, **tls)), None


def _tls(settings: RedisSettings) -> dict[str, Any]:
    """redis-py's names for the files; only those that are given."""
    if settings.tls is None:
        return {}
    files = {
        "ssl_ca_certs": settings.tls.ca_certificate_file,
        "ssl_certfile": settings.tls.certificate_file,
        "ssl_keyfile": settings.tls.key_file,
    }
    return {name: path for name, path in files.items() if path}


def _why(error: Exception) -> str:
    return str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
