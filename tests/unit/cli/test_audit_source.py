from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from kasbah.cli.api_client import ApiClient
from kasbah.cli.audit_source import AuditSource, FilesSource, HubSource
from kasbah.cli.hosts import Host
from kasbah.kit.secrets import Secret
from kasbah.wire.audit_record import AuditFilter
from tests.doubles import audit_log
from tests.doubles.fake_gitlab import TOKEN, URL, FakeGitlab


def names(source: AuditSource, asked: AuditFilter | None = None, *, oldest_first: bool = False) -> list[str]:
    return [
        shown["request_id"] for shown in source.records(asked or AuditFilter(), oldest_first=oldest_first)
    ]


@pytest.fixture
def files(tmp_path: Path) -> FilesSource:
    old, new = audit_log.record("old", ago=timedelta(hours=2)), audit_log.record("new", agent_id=8)
    audit_log.write(tmp_path, old, new)
    return FilesSource(tmp_path)


def test_files_are_read_either_way(files: FilesSource):
    assert names(files) == ["new", "old"]
    assert names(files, oldest_first=True) == ["old", "new"]


def test_files_are_filtered(files: FilesSource):
    assert names(files, AuditFilter(agent_id=8)) == ["new"]
    assert names(files, AuditFilter(since=audit_log.record("", ago=timedelta(hours=1)).at)) == ["new"]


def test_one_record_of_a_wrong_clock_hides_none_behind_it(tmp_path: Path):
    wrong = audit_log.record("wrong", ago=timedelta(days=9000))
    audit_log.write(tmp_path, audit_log.record("old"), wrong, audit_log.record("new"))
    asked = AuditFilter(since=audit_log.record("", ago=timedelta(hours=1)).at)
    assert names(FilesSource(tmp_path), asked) == ["new", "old"]


def test_a_record_of_a_file_has_its_number_and_its_hash(files: FilesSource):
    newest = next(files.records(AuditFilter()))
    assert (newest["id"], len(newest["hash"]), newest["target"]["name"]) == (3, 64, "new")


def test_files_are_proved(files: FilesSource):
    assert files.verify("")["fault"] is None
    fault = files.verify("0" * 64)["fault"]
    assert fault is not None
    assert fault["line"] == 3


def test_the_hub_is_asked_for_what_was_asked_for_and_no_more():
    gitlab = FakeGitlab()
    host = Host(url=URL, token=Secret(TOKEN))
    with ApiClient(host, gitlab) as api:
        asked = AuditFilter(agent_id=8, user="mia", failed=True)
        assert list(HubSource(api).records(asked, oldest_first=True)) == []
    sent = {name: values[0] for name, values in gitlab.asked[-1].items() if not name.endswith("page")}
    assert sent == {"agent_id": "8", "user": "mia", "failed": "true", "sort": "asc"}


def test_the_hub_proves_the_log():
    proof = {"log": "l", "first": 1, "sequence": 2, "hash": "h", "records": 2, "segments": 1}
    gitlab = FakeGitlab()
    gitlab.audit_proof = {**proof, "set_aside": [], "fault": None}
    with ApiClient(Host(url=URL, token=Secret(TOKEN)), gitlab) as api:
        assert HubSource(api).verify("a" * 64)["sequence"] == 2
    assert gitlab.asked[-1] == {"head": ["a" * 64]}
