"""The audit log against the API server's own, while the parts between them are killed, and what must never be in it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox
from kasbah.kit.chained_log import reading, verification
from kasbah.wire import audit_record
from kasbah.wire.audit_record import AuditRecord
from tests.e2e.kubectl import config_map, deployment, run_pod
from tests.e2e.world import World, wait_for, world

CANARY = "canary-5f0c2a9e"
NAMESPACE = "audited"
READING = frozenset({"get", "list", "watch", "head", "options"})
PIPES = frozenset({"exec", "attach", "portforward"})
KILLS = 6
DONE_BETWEEN_KILLS = 6
WORKERS = 3
ByRequest = dict[str, list[AuditRecord]]


@pytest.fixture
def audited_world(control_plane: sandbox.Cluster, tmp_path: Path) -> Iterator[World]:
    """A Kasbah that this test alone kills, with an access log."""
    with world(tmp_path, control_plane, "--access-log", str(tmp_path / "access.log")) as made:
        yield made


@pytest.mark.timeout(300)
def test_every_mutating_request_is_in_both_audit_logs_whatever_is_killed(audited_world: World):
    made = audited_world
    since = made.cluster.audit.position()
    made.kubectl("create", "namespace", NAMESPACE)
    wait_for(lambda: made.kubectl("-n", NAMESPACE, "get", "sa", "default", check=False).returncode == 0)
    pod = run_pod(made)
    done = under_trouble(made, pod)
    made.wait_for_agent()
    made.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    made.kubectl("delete", "pod", pod, "--wait=false")
    assert_administrators_can_read_it(made)
    made.up.stop()

    heads = [event["hash"] for event in made.up.events() if event["event"] == "audit log head"]
    proven = verification.verify(made.data / "audit", known_head=random.choice(heads))
    assert proven.fault is None
    assert heads[-1] == proven.head.digest.decode()
    ours, theirs = our_requests(made), their_requests(made, since)
    assert_matched(ours, theirs)
    assert any(records[0].target.subresource == "exec" for records in ours.values())
    print(  # noqa: T201 - shown by pytest -s, and when the test fails
        f"\n{KILLS} kills, {done.total()} kubectl commands ({done[False]} failed); mutating requests: {len(ours)} in "
        f"ours, {len(theirs)} at the API server, all matched; {proven.lines} lines verified, head {proven.head.digest!r}"
    )
    assert_no_canary(made)


def under_trouble(made: World, pod: str) -> Counter[bool]:
    """Changes by several people at once while agentk and kas are killed in turn; how many were done, and how many not."""
    over = threading.Event()
    done = Counter[bool]()

    def work(number: int) -> None:
        chance = random.Random(number)
        while not over.is_set():
            done[one_change(made, chance, number, pod)] += 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    try:
        for kill in range(KILLS):
            enough = done[True] + DONE_BETWEEN_KILLS
            wait_for(lambda enough=enough: done[True] >= enough, 60, told=made.up.tail)
            program = made.up if kill % 3 == 2 else made.agentk
            program.kill()
            program.start(first_line=program is made.up)
    finally:
        over.set()
        for worker in workers:
            worker.join(60)
    return done


def one_change(made: World, chance: random.Random, number: int, pod: str) -> bool:
    """A change as people make them, with secrets in it; whether kubectl says that it was done."""
    name = f"c{number}-{chance.randrange(6)}"
    in_namespace = ("-n", NAMESPACE, "--request-timeout=10s")
    stdin = None
    kind = chance.randrange(7)
    if kind == 0:
        arguments = ["create", "secret", "generic", name, f"--from-literal=password={CANARY}"]
    elif kind == 1:
        arguments, stdin = (
            ["apply", "-f", "-"],
            in_place(config_map(name, value=CANARY + str(chance.random()))),
        )
    elif kind == 2:
        arguments, stdin = ["apply", "--server-side", "-f", "-"], in_place(deployment(name))
    elif kind == 3:
        arguments = ["patch", "configmap", name, "-p", json.dumps({"data": {"x": CANARY}})]
    elif kind == 4:
        arguments = ["delete", "secret", name, "--ignore-not-found", "--wait=false"]
    elif kind == 5:
        arguments = ["annotate", "--overwrite", "configmap", name, f"note={CANARY}"]
    else:
        in_namespace = ("-n", "default")
        arguments = ["exec", pod, "--", "echo", f"--password={CANARY}"]
    return made.kubectl(*in_namespace, *arguments, stdin=stdin, check=False).returncode == 0


def in_place(document: str) -> str:
    """The same object in the namespace of this test."""
    made = json.loads(document)
    made["metadata"]["namespace"] = NAMESPACE
    return json.dumps(made)


def our_requests(made: World) -> ByRequest:
    """Records of what may change something, by request."""
    found: ByRequest = defaultdict(list)
    for entry in reading.forwards(made.data / "audit"):
        record = audit_record.read(entry.record)
        if record is not None and changes(record.target.verb, record.target.subresource):
            found[record.request_id].append(record)
    return found


def their_requests(made: World, since: int) -> dict[str, list[dict[str, Any]]]:
    """What the API server says kubectl changed, by request; nobody else runs a kubectl of this name now."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in made.cluster.audit.events(since):
        subresource = event.get("objectRef", {}).get("subresource", "")
        if changes(event["verb"], subresource) and event.get("userAgent", "").startswith("kubectl/"):
            found[event["auditID"]].append(event)
    return found


def changes(verb: str, subresource: str) -> bool:
    return verb not in READING or subresource in PIPES


def assert_administrators_can_read_it(made: World) -> None:
    """Through the hub, as `kasbah audit` does."""
    (newest,) = made.rest("GET", "/kasbah/audit_records?verb=delete&per_page=1")  # type: ignore[misc]
    assert (newest["user"]["username"], newest["target"]["resource"]) == ("root", "pods")
    proof: Any = made.rest("GET", "/kasbah/audit_verification")
    assert proof["fault"] is None
    command = [sys.executable, "-m", "kasbah.cli", "audit", "list", "--limit=3"]
    environment = made.environment | {
        "KASBAH_URL": made.https,
        "KASBAH_TOKEN": made.root_token,
        "KASBAH_CA_FILE": str(made.ca_file),
    }
    listed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    assert len(listed.stdout.splitlines()) == 4
    made.kubectl("--token=pat:1:" + CANARY, "get", "pods", check=False)
    made.kubectl("--token=" + CANARY, "get", "pods", "-l", f"secret={CANARY}", check=False)


def assert_matched(ours: ByRequest, theirs: dict[str, list[dict[str, Any]]]) -> None:
    unknown = [events[0]["requestURI"] for request_id, events in theirs.items() if request_id not in ours]
    assert not unknown, "changed in the cluster, and not in our log"
    for request_id, records in ours.items():
        phases = [record.phase for record in records]
        assert "begun" in phases, f"left before it was written down: {records}"
        answered = [record for record in records if record.phase == "answered"]
        events = theirs.get(request_id, [])
        stages = Counter(event["stage"] for event in events)
        assert max(stages.values(), default=0) <= 1, f"done twice: {events}"
        if answered:
            assert events, f"answered, and not known to the API server: {answered}"
        for event in events:
            assert_alike(records[0], event)
        for record in answered:
            assert record.status in {event["responseStatus"]["code"] for event in events}


def assert_alike(record: AuditRecord, event: dict[str, Any]) -> None:
    target, about = record.target, event["objectRef"]
    assert target.verb == event["verb"]
    assert (target.resource, target.subresource) == (about["resource"], about.get("subresource", ""))
    assert (target.group, target.version) == (about.get("apiGroup", ""), about["apiVersion"])
    assert target.namespace == about.get("namespace", "")
    assert target.path == event["requestURI"].partition("?")[0]
    if target.name:  # the API server reads a new object's name from its body
        assert target.name == about["name"]


def assert_no_canary(made: World) -> None:
    files = [*(made.data / "audit").glob("segment-*"), made.directory / "access.log"]
    assert len(files) >= 2
    for path in files:
        text = path.read_text()
        assert CANARY not in text
        assert made.user_token not in text
    refused = [json.loads(line) for line in files[-1].read_text().splitlines() if '"status":401' in line]
    assert {line.get("agent_id", 0) for line in refused} >= {0, 1}
