"""A push of an agent's configuration, from git to every module: in time, whole or not at all, and nothing breaks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.world import AGENT_CONFIGURATION, World

pytestmark = pytest.mark.cluster


def log_of(world: World) -> list[dict[str, Any]]:
    """agentk's log, event by event."""
    lines = world.agentk.log.read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def wait_for(
    world: World, wanted: Callable[[dict[str, Any]], bool], since: int, timeout_s: float
) -> dict[str, Any]:
    """The first such event that agentk logs after the first `since` ones."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        for event in log_of(world)[since:]:
            if wanted(event):
                return event
        time.sleep(0.02)  # noqa: TID251 - real processes, nothing to wait on
    raise AssertionError(f"nothing of it within {timeout_s} s; agentk's log ends:\n{world.agentk.tail()}")


def applied(event: dict[str, Any]) -> bool:
    return event["event"] == "configuration applied"


def refused(event: dict[str, Any]) -> bool:
    return "Config: " in event.get("error", "")


def push(world: World, text: str) -> int:
    """Push; how many events agentk had logged before."""
    before = len(log_of(world))
    world.push_configuration(text)
    return before


def test_a_change_reaches_the_agent_within_a_second_of_the_push(fresh_world: World):
    before = push(fresh_world, AGENT_CONFIGURATION + "observability: {logging: {level: debug}}\n")
    assert wait_for(fresh_world, applied, before, timeout_s=1)["sections"] == ["observability"]
    before = push(fresh_world, AGENT_CONFIGURATION)
    assert wait_for(fresh_world, applied, before, timeout_s=1)["sections"] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_acess: {}\n", "user_acess: unknown key; did you mean user_access?"),
        (
            "user_access: {projects: [{id: 1}]}\n",
            "user_access.projects[0].id: expected a string, got a number",
        ),
        ("[" * 100_000, "nested deeper than 100 levels"),
        ("#" * 10_000_000, "is larger than 131072 bytes"),
        ("container_scanning: {}\n", "container_scanning.cadence: is required"),
    ],
    ids=["unknown key", "wrong type", "nesting", "size", "rule"],
)
def test_a_bad_file_is_named_changes_nothing_and_its_correction_arrives_at_once(
    fresh_world: World, text: str, message: str
):
    before = push(fresh_world, text)
    assert message in wait_for(fresh_world, refused, before, timeout_s=2)["error"]
    fresh_world.kubectl("get", "--raw", "/version")
    time.sleep(1.1)  # noqa: TID251 - agentk calls again after its first back-off
    before = push(fresh_world, AGENT_CONFIGURATION)
    wait_for(fresh_world, applied, before, timeout_s=1)


def test_a_blank_file_is_an_empty_configuration_and_takes_the_access_with_it(fresh_world: World):
    before = push(fresh_world, "# nobody\n")
    try:
        assert wait_for(fresh_world, applied, before, timeout_s=1)["sections"] == []
        time.sleep(6)  # noqa: TID251 - a grant lives for five seconds
        assert fresh_world.kubectl("get", "--raw", "/version", check=False).returncode != 0
    finally:
        before = push(fresh_world, AGENT_CONFIGURATION)
        wait_for(fresh_world, applied, before, timeout_s=1)
        fresh_world.wait_for_agent()
