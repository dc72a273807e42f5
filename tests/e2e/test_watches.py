"""Watches never lie: whatever is killed meanwhile, every change is told once and in order, or the watch says that it cannot."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.watching import ApiServer, Change, Watcher, Writer, again_and_again, version_of, watching
from tests.e2e.world import World, wait_for

pytestmark = pytest.mark.cluster
_log = logging.getLogger(__name__)

KEPT = "kasbah_kas_watches_kept"
BROKEN = "kasbah_kas_watches_broken"
BREAKS = "kasbah_kas_watch_breaks_total"
PROTOBUF = "application/vnd.kubernetes.protobuf;stream=watch"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
EVENTS = '{.type} {.object.metadata.resourceVersion}{"\\n"}'


@pytest.fixture(scope="module")
def api(fresh_world: World) -> Iterator[ApiServer]:
    with contextlib.closing(ApiServer(fresh_world.cluster)) as api:
        yield api


@pytest.fixture
def writer(api: ApiServer) -> Writer:
    return Writer(api, f"watched-{uuid4().hex[:8]}")


def since(api: ApiServer, writer: Writer, *more: str) -> str:
    """The path of a watch from now on."""
    version = version_of(api.call("GET", f"{writer.path}?limit=1"))
    parameters = ["watch=1", "labelSelector=watched%3Dyes", f"resourceVersion={version}", *more]
    return f"{writer.path}?{'&'.join(parameters)}"


@contextlib.contextmanager
def kubectl_watching(world: World, writer: Writer, file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`kubectl get -w`, which writes what it is told into a file."""
    asked = ("-w", "-l", "watched=yes", "--output-watch-events", f"-o=jsonpath={EVENTS}")
    argv = world.kubectl_argv("get", "configmaps", "-n", writer.path.split("/")[4], *asked)
    with (
        file.open("wb") as out,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=world.environment
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def told_by_kubectl(file: Path) -> list[Change]:
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    return [(kind, "" if kind == "DELETED" else version) for kind, version in lines]


def kill_and_start(world: World) -> None:
    """kill -9 of agentk, and at once the next."""
    world.agentk.kill()
    world.agentk.start()


def while_agentk_is_killed(
    world: World, writer: Writer, directory: Path, *, changes: int, every_s: float, per_second: float
) -> dict[str, float]:
    """Each change is told to each client once, in order, in the one answer that it began with; what happened, in figures."""
    before = World.metric(world.up_metrics, BREAKS)
    api = writer.api
    file = directory / "kubectl"
    with (
        watching(world, since(api, writer)) as in_json,
        watching(world, since(api, writer, "allowWatchBookmarks=true"), accept=PROTOBUF) as in_protobuf,
        watching(world, since(api, writer), accept=METADATA) as metadata,
        kubectl_watching(world, writer, file) as kubectl,
    ):
        wait_for(lambda: World.metric(world.up_metrics, KEPT) >= 4, told=world.up.tail)
        with again_and_again(lambda: kill_and_start(world), every_s) as kills:
            writer.write(changes, per_second)
        watchers = [in_json, in_protobuf, metadata]
        with contextlib.suppress(AssertionError):
            wait_for(lambda: all(len(w.changes) >= changes for w in watchers), 30)
        for watcher in watchers:
            assert_same(watcher, writer)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: len(told_by_kubectl(file)) >= changes, 10)
        assert told_by_kubectl(file) == writer.changes
        assert kubectl.poll() is None
        assert in_json.bookmarks == 0
    return {
        "changes": changes,
        "kills": len(kills),
        "breaks": World.metric(world.up_metrics, BREAKS) - before,
        "bytes": in_json.size + in_protobuf.size,
    }


def assert_same(watcher: Watcher, writer: Writer) -> None:
    told, happened = watcher.changes, writer.changes
    differs = [at for at, (a, b) in enumerate(zip(told, happened, strict=False)) if a != b][:1]
    assert (watcher.end, len(told), differs) == ("", len(happened), [])


@pytest.mark.timeout(120)
def test_no_change_is_lost_doubled_or_out_of_order_while_agentk_is_killed(
    fresh_world: World, writer: Writer, tmp_path: Path
):
    figures = while_agentk_is_killed(fresh_world, writer, tmp_path, changes=1500, every_s=2.5, per_second=100)
    _log.info("watches: %s", figures)
    assert figures["kills"] >= 4
    assert figures["breaks"] >= 4 * 4


@pytest.mark.timeout(120)
def test_the_same_behind_an_agentk_that_speaks_grpc(fresh_world: World, writer: Writer, tmp_path: Path):
    before = fresh_world.agentk
    before.kill()
    address = f"grpc://127.0.0.1:{fresh_world.ports['grpc']}"
    fresh_world.agentk = fresh_world.new_agentk("agentk-grpc", fresh_world.ports["probe"], address=address)
    try:
        fresh_world.agentk.start()
        fresh_world.wait_for_agent()
        figures = while_agentk_is_killed(
            fresh_world, writer, tmp_path, changes=400, every_s=2.5, per_second=50
        )
        assert figures["breaks"] >= 4
    finally:
        fresh_world.agentk.kill()
        fresh_world.agentk = before
        before.start()
        fresh_world.wait_for_agent()


def test_a_watch_that_nobody_can_take_up_again_ends_with_an_error_to_list_again(
    fresh_world: World, writer: Writer
):
    """From the newest version on, whichever that was, and no event has told it yet."""
    from_now = "sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
    with watching(fresh_world, f"{writer.path}?watch=1&{from_now}") as watcher:
        kill_and_start(fresh_world)
        wait_for(lambda: watcher.end != "", 15, told=fresh_world.up.tail)
    assert watcher.end == "ended"
    kind, event = watcher.changes[-1]
    status = json.loads(event)["object"]
    assert (kind, status["kind"], status["reason"], status["code"]) == ("ERROR", "Status", "Expired", 410)
    fresh_world.wait_for_agent()


def test_a_watch_without_a_version_goes_on_once_everything_that_is_there_was_told(
    fresh_world: World, writer: Writer
):
    """This API server marks where that is."""
    writer.write(5)
    with watching(fresh_world, f"{writer.path}?watch=1&labelSelector=watched%3Dyes") as watcher:
        wait_for(lambda: len(watcher.changes) == 1)
        kill_and_start(fresh_world)
        writer.write(5)
        wait_for(lambda: len(watcher.changes) >= 6, 15, told=fresh_world.up.tail)
        assert (watcher.changes[1:], watcher.bookmarks, watcher.end) == (writer.changes[5:], 0, "")


@pytest.mark.parametrize("accept", ["application/json", PROTOBUF])
def test_initial_events_and_then_everything_behind_them(
    fresh_world: World, api: ApiServer, writer: Writer, accept: str
):
    writer.write(25)
    asked = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    path = f"{writer.path}?watch=1&labelSelector=watched%3Dyes&{asked}"
    with watching(fresh_world, path, accept=accept) as watcher:
        wait_for(lambda: watcher.bookmarks == 1)
        assert [kind for kind, _ in watcher.changes] == ["ADDED"]
        kill_and_start(fresh_world)
        writer.write(15)
        wait_for(lambda: len(watcher.changes) >= 16, 20, told=fresh_world.up.tail)
        assert (watcher.changes[1:], watcher.end) == (writer.changes[25:], "")


def test_tables_go_on_too(fresh_world: World, api: ApiServer, writer: Writer):
    with watching(fresh_world, since(api, writer), accept=TABLE) as watcher:
        writer.write(10)
        kill_and_start(fresh_world)
        writer.write(10)
        wait_for(lambda: len(watcher.changes) >= 20, 20, told=fresh_world.up.tail)
        assert_same(watcher, writer)


def test_the_api_server_may_be_killed_too(fresh_world: World, api: ApiServer, writer: Writer):
    with watching(fresh_world, since(api, writer)) as watcher:
        writer.write(5)
        wait_for(lambda: len(watcher.changes) == 5)
        fresh_world.cluster.stop_api_server()
        wait_for(lambda: World.metric(fresh_world.up_metrics, BROKEN) >= 1)
        fresh_world.cluster.start_api_server()
        api.close()
        writer.write(5)
        wait_for(lambda: len(watcher.changes) >= 10, 30, told=fresh_world.up.tail)
        assert_same(watcher, writer)


def test_the_clients_own_time_limit_holds_across_a_break(fresh_world: World, api: ApiServer, writer: Writer):
    with watching(fresh_world, since(api, writer, "timeoutSeconds=6")) as watcher:
        kill_and_start(fresh_world)
        assert wait_for(lambda: watcher.end != "", 15) < 9
        assert (watcher.end, watcher.changes) == ("ended", [])


def test_a_watch_is_cut_while_its_agent_is_away_when_its_person_is_no_longer_allowed(
    fresh_world: World, api: ApiServer, writer: Writer
):
    made: Any = fresh_world.rest(
        "POST", "/user/personal_access_tokens", {"name": "w", "scopes": ["k8s_proxy"]}, expect=201
    )
    old, fresh_world.user_token = fresh_world.user_token, made["token"]
    try:
        watcher = Watcher(fresh_world, since(api, writer))
    finally:
        fresh_world.user_token = old
    fresh_world.agentk.kill()
    try:
        fresh_world.rest("DELETE", f"/personal_access_tokens/{made['id']}", expect=204)
        assert wait_for(lambda: watcher.end != "", 15, told=fresh_world.up.tail) <= 10
    finally:
        watcher.close()
        fresh_world.agentk.start()
        fresh_world.wait_for_agent()


def test_kas_that_stops_ends_its_watches_well(fresh_world: World, api: ApiServer, writer: Writer):
    with watching(fresh_world, since(api, writer)) as watcher:
        writer.write(3)
        wait_for(lambda: len(watcher.changes) == 3)
        fresh_world.up.terminate()
        wait_for(lambda: watcher.end != "", 10, told=fresh_world.up.tail)
        assert watcher.end == "ended"
    fresh_world.up.wait(10)
    fresh_world.up.start(first_line=True)
    fresh_world.wait_for_agent()


def test_a_frozen_agent_breaks_its_watch_and_the_next_one_goes_on(
    fresh_world: World, api: ApiServer, writer: Writer
):
    with watching(fresh_world, since(api, writer)) as watcher:
        assert fresh_world.agentk.process is not None
        fresh_world.agentk.process.send_signal(signal.SIGSTOP)
        writer.write(5)
        wait_for(lambda: World.metric(fresh_world.up_metrics, BROKEN) >= 1, 25, told=fresh_world.up.tail)
        fresh_world.agentk.process.send_signal(signal.SIGCONT)
        wait_for(lambda: len(watcher.changes) >= 5, 15, told=fresh_world.up.tail)
        assert_same(watcher, writer)


def test_nothing_is_left_of_watches_whose_clients_have_gone(fresh_world: World, writer: Writer):
    before = World.metric(fresh_world.up_metrics, KEPT)
    with watching(fresh_world, f"{writer.path}?watch=1"):
        wait_for(lambda: World.metric(fresh_world.up_metrics, KEPT) == before + 1)
    wait_for(lambda: World.metric(fresh_world.up_metrics, KEPT) == 0, told=fresh_world.up.tail)
    assert World.metric(fresh_world.up_metrics, BROKEN) == 0
