"""`kasbah audit …`."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from kasbah.cli.commands import audit
from kasbah.wire.audit_record import AuditedIdentity, AuditedTarget
from tests.doubles import audit_log
from tests.doubles.typed_terminal import TypedTerminal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def test_requests_are_listed_newest_first_with_their_age(kasbah: TypedTerminal, directory: Path):
    first = audit_log.record("old", ago=timedelta(hours=3, minutes=59))
    second = audit_log.record("new", ago=timedelta(seconds=200), status=403)
    audit_log.write(directory, first, second)
    assert kasbah("audit", "list", "--directory", str(directory)) == 0
    head, newest, oldest = kasbah.out.splitlines()
    assert head.split() == ["AGE", "USER", "AS", "AGENT", "VERB", "WHAT", "STATUS", "OUTCOME"]
    assert " ".join(newest.split()) == "3m mia gitlab:user:mia 7 delete pods web/new 403 completed"
    assert oldest.split()[0] == "3h"


def test_a_request_is_one_row_and_shown_as_far_as_it_came(kasbah: TypedTerminal, directory: Path):
    records = [audit_log.record("a", phase=phase) for phase in ("begun", "answered", "ended")]
    audit_log.write(directory, *records, audit_log.record("b", phase="begun", status=0))
    kasbah("audit", "list", "--directory", str(directory))
    assert [line.split()[-1] for line in kasbah.out.splitlines()[1:]] == ["begun", "completed"]


def test_whom_the_client_chose_and_what_has_no_resource_are_told(kasbah: TypedTerminal, directory: Path):
    chosen = AuditedIdentity(kind="user", username="ada", chosen_by="client")
    version = AuditedTarget(verb="get", path="/version")
    scale = AuditedTarget(
        verb="patch",
        group="apps",
        resource="deployments",
        subresource="scale",
        namespace="web",
        name="a",
        path="/",
    )
    agent = AuditedIdentity(kind="agent")
    audit_log.write(
        directory,
        audit_log.record("a", identity=chosen, target=version),
        audit_log.record("b", identity=agent, target=scale),
    )
    kasbah("audit", "list", "--directory", str(directory))
    newest, oldest = kasbah.out.splitlines()[1:]
    assert newest.split()[2:6] == ["agent", "7", "patch", "deployments.apps/scale"]
    assert oldest.split()[2:7] == ["ada", "(--as)", "7", "get", "/version"]


def test_filters_are_applied(kasbah: TypedTerminal, directory: Path):
    records = [
        audit_log.record("old", ago=timedelta(days=2)),
        audit_log.record("failed", status=500),
        audit_log.record("other", agent_id=8),
    ]
    audit_log.write(directory, *records)
    base = ("audit", "list", "--directory", str(directory), "-o", "name")
    for flags, found in (
        (("--failed",), "failed\n"),
        (("--agent", "8"), "other\n"),
        (("--since", "24h"), "other\nfailed\n"),
        (("--user", "nobody"), ""),
        (("--request-id", "old"), "old\n"),
        (("--verb", "delete", "--limit", "1"), "other\n"),
        (("--namespace", "web", "--since", "2026-01-01"), "other\nfailed\nold\n"),
    ):
        assert kasbah(*base, *flags) == 0
        assert kasbah.out == found


@pytest.mark.parametrize(
    "since", ["yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00", "40000d"]
)
def test_a_time_that_is_none_is_refused(kasbah: TypedTerminal, directory: Path, since: str):
    assert kasbah("audit", "list", "--directory", str(directory), "--since", since) == 2
    assert "neither a duration" in kasbah.err


@pytest.mark.parametrize(("limit", "code"), [("-1", 2), ("0", 2), ("1", 0), (str(10**20), 0)])
def test_a_limit_is_a_number_of_rows(kasbah: TypedTerminal, directory: Path, limit: str, code: int):
    audit_log.write(directory, audit_log.record("a"))
    assert kasbah("audit", "list", "--directory", str(directory), "--limit", limit) == code


def test_at_a_terminal_the_table_fits(
    kasbah: TypedTerminal, directory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "60")
    audit_log.write(directory, audit_log.record("a" * 100))
    kasbah.watched = True
    assert kasbah("audit", "list", "--directory", str(directory)) == 0
    plain = re.sub(r"\x1b\[[\d;]*m", "", kasbah.out)
    assert max(map(len, plain.splitlines())) <= 60


def test_a_whole_log_is_proved_and_its_head_printed(kasbah: TypedTerminal, directory: Path):
    head = audit_log.write(directory, audit_log.record("a"))
    assert kasbah("audit", "verify", "--directory", str(directory)) == 0
    told = dict(line.split(maxsplit=1) for line in kasbah.out.splitlines())
    assert (told["lines"], told["fault"]) == ("1 to 2 in 1 segment", "none")
    assert told["head"] == head.digest.decode()
    assert kasbah("audit", "verify", "--directory", str(directory), "--head", told["head"]) == 0


def test_a_head_that_is_none_is_refused(kasbah: TypedTerminal, directory: Path):
    audit_log.write(directory, audit_log.record("a"))
    assert kasbah("audit", "verify", "--directory", str(directory), "--head", "c1d7") == 2
    assert "--head 'c1d7' is no head: 64 hexadecimal digits" in kasbah.err


@pytest.mark.parametrize("command", ["list", "export"])
def test_a_directory_without_a_log_is_no_empty_log(kasbah: TypedTerminal, tmp_path: Path, command: str):
    assert kasbah("audit", command, "--directory", str(tmp_path)) == 1
    assert f"there is no audit log in {tmp_path}" in kasbah.err


def test_a_fault_is_named_by_file_and_line_and_by_the_exit_code(kasbah: TypedTerminal, directory: Path):
    audit_log.write(directory, audit_log.record("a"), audit_log.record("b"))
    path = directory / "segment-00000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"mia"', b'"noa"', 1))
    assert kasbah("audit", "verify", "--directory", str(directory), "-o", "json") == 1
    assert json.loads(kasbah.out)["fault"]["line"] == 2
    assert f"{path}:2: record 2 does not follow" in kasbah.err


def test_what_was_set_aside_is_told_and_no_fault(kasbah: TypedTerminal, directory: Path):
    audit_log.write(directory, audit_log.record("a"), audit_log.record("b"))
    path = directory / "segment-00000001.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    audit_log.write(directory, audit_log.record("c"))
    assert kasbah("audit", "verify", "--directory", str(directory)) == 0
    assert "set aside" in kasbah.out


def test_what_strangers_call_themselves_commands_no_terminal(kasbah: TypedTerminal, directory: Path):
    strange = "\x9b2J \u202e é"
    audit_log.write(directory, audit_log.record("a", user_agent=strange))
    assert kasbah("audit", "export", "--directory", str(directory)) == 0
    assert kasbah.out.isascii()
    assert json.loads(kasbah.out)["user_agent"] == strange


def test_everything_is_exported_oldest_first(kasbah: TypedTerminal, directory: Path):
    audit_log.write(directory, *(audit_log.record(name, phase="begun") for name in ("a", "b", "a")))
    assert kasbah("audit", "export", "--directory", str(directory)) == 0
    assert [json.loads(line)["request_id"] for line in kasbah.out.splitlines()] == ["a", "b", "a"]


def test_without_a_directory_the_hub_is_asked(kasbah: TypedTerminal):
    shown = json.loads(msgspec.json.encode(audit_log.record("a")))
    kasbah.gitlab.audit_records = [{"id": 2, "hash": "h", **shown}]
    assert kasbah("audit", "list", "-o", "name", "--verb", "delete") == 0
    assert kasbah.out == "a\n"
    assert kasbah.gitlab.asked[-1]["verb"] == ["delete"]


def test_a_directory_that_is_not_there_is_named(kasbah: TypedTerminal, directory: Path):
    assert kasbah("audit", "list", "--directory", str(directory)) == 1
    assert str(directory) in kasbah.err


def test_files_are_followed_until_somebody_interrupts(
    kasbah: TypedTerminal, directory: Path, monkeypatch: pytest.MonkeyPatch
):
    audit_log.write(directory, audit_log.record("a"))
    looks: list[float | None] = []

    class Meanwhile:
        """A second goes by: more is written, and then the person has seen enough."""

        def wait(self, timeout: float | None = None) -> bool:
            looks.append(timeout)
            if len(looks) == 3:
                raise KeyboardInterrupt
            audit_log.write(directory, audit_log.record("bc"[len(looks) - 1]))
            return False

    monkeypatch.setattr(audit, "Event", Meanwhile)
    assert kasbah("audit", "export", "--directory", str(directory), "--follow") == 130
    assert [json.loads(line)["request_id"] for line in kasbah.out.splitlines()] == ["a", "b", "c"]


def test_the_hub_cannot_be_followed(kasbah: TypedTerminal):
    assert kasbah("audit", "export", "--follow") == 2
    assert "give --directory" in kasbah.err
