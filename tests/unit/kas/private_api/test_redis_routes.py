"""The seal of an entry."""

from __future__ import annotations

from kasbah.kas.private_api.redis_routes import RedisAgentRoutes
from kasbah.kas.redis.client import RedisClient
from kasbah.kas.redis.settings import RedisSettings


def entry(agent_id: int = 7, url: str = "grpc://a:1", secret: bytes = b"s" * 32, prefix: str = "kas") -> str:
    client = RedisClient(RedisSettings(addresses=("127.0.0.1:1",), key_prefix=prefix))
    return RedisAgentRoutes(client, secret)._entry(agent_id, url)


def test_a_seal_is_for_one_agent_one_url_one_deployment_and_one_secret():
    seals = {entry(), entry(8), entry(url="grpc://b:1"), entry(secret=b"t" * 32), entry(prefix="other")}
    assert len(seals) == 5
    assert entry().startswith("grpc://a:1 ")
    assert entry() == entry()
