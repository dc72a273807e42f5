"""The cache of kubectl's tokens answers only the person it was filled for."""

from __future__ import annotations

import stat
from datetime import UTC, datetime

import pytest

from kasbah.cli import credential_cache
from kasbah.cli.credential_cache import CachedToken
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret

HOST = Host("https://one.example", Secret("glpat-mia"))
CACHED = CachedToken(77, Secret("glpat-k8s"), "2026-03-03", HOST.url)


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CACHE_HOME": str(tmp_path)}


def keep(environ, host=HOST, agent_id=7, cached=CACHED):
    entry = credential_cache.entry_of(environ, host, agent_id)
    with credential_cache.locked(entry):
        credential_cache.write(entry, cached)
    return entry


def test_a_kept_token_is_read_back_from_a_private_file(environ):
    entry = keep(environ)

    assert credential_cache.read(entry) == CACHED
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


def test_a_token_is_given_up_five_minutes_before_its_midnight():
    assert CACHED.usable_until == datetime(2026, 3, 2, 23, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("host", "agent_id"),
    [(HOST._replace(token=Secret("glpat-bob")), 7), (HOST._replace(url="https://two.example"), 7), (HOST, 8)],
    ids=["another person", "another host", "another agent"],
)
def test_the_cache_is_another_one_for(environ, host, agent_id):
    assert credential_cache.read(credential_cache.entry_of(environ, host, agent_id)) is None
    assert credential_cache.entry_of(environ, host, agent_id) != keep(environ)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"id": 1}', b'{"id":1,"token":"t","expires_at":"x","host":"h"}']
)
def test_a_damaged_entry_counts_as_none(environ, content):
    entry = keep(environ)
    entry.write_bytes(content)

    assert credential_cache.read(entry) is None


def test_taking_all_empties_one_host_and_leaves_the_others(environ):
    other = keep(
        environ, HOST._replace(url="https://two.example"), 7, CACHED._replace(host_url="https://two.example")
    )
    mine = keep(environ)

    assert credential_cache.take_all(environ, HOST.url) == [CACHED]
    assert (mine.exists(), other.exists()) == (False, True)


def test_where_nothing_can_be_written_there_is_no_lock(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with credential_cache.locked(tmp_path / "file" / "entry.json"):
        assert not (tmp_path / "file" / "entry.lock").exists()
