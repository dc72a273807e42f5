"""Fixtures every test may ask for: real clusters of the sandbox, built before the first test and not within one.

A test that asks for `control_plane` is marked `cluster`, one that asks for `real_node_cluster` is marked `real_node`;
each is skipped, with the reason, only where the machine truly cannot run such a cluster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import cast

import pytest

import sandbox

_FIXTURES: dict[str, sandbox.NodeChoice] = {"control_plane": "kwok", "real_node_cluster": "real"}
_MARKS: dict[sandbox.NodeChoice, str] = {"kwok": "cluster", "real": "real_node"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a cluster, so that `-m "not cluster and not real_node"` leaves out all of it."""
    for item in items:
        for node in _nodes(item):
            item.add_marker(_MARKS[node])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the programs now: the first time takes minutes, and a test's time limit is one."""
    if session.config.option.collectonly:
        return
    nodes = {node for item in session.items for node in _nodes(item)}
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        for node in sorted(nodes):
            # Whoever fails here fails again in the fixture, where it belongs to a test.
            with contextlib.suppress(sandbox.CannotRunError, sandbox.SandboxError):
                if sandbox.why_not(node) is None:
                    sandbox.prepare(node)


def _nodes(item: pytest.Item) -> set[sandbox.NodeChoice]:
    """Which kinds of cluster a test runs on."""
    asked = {node for fixture, node in _FIXTURES.items() if fixture in getattr(item, "fixturenames", ())}
    callspec = getattr(item, "callspec", None)
    either = callspec.params.get("either_cluster") if callspec else None
    return asked | ({either} if either else set())


@pytest.fixture(scope="session")
def control_plane() -> Iterator[sandbox.Cluster]:
    """A real control plane with a node played by KWOK, one for the whole session."""
    yield from _cluster("kwok")


@pytest.fixture(scope="session")
def real_node_cluster() -> Iterator[sandbox.Cluster]:
    """A real control plane with a real kubelet, containerd and runc, one for the whole session; needs root."""
    yield from _cluster("real")


@pytest.fixture(scope="session", params=["kwok", "real"])
def either_cluster(request: pytest.FixtureRequest) -> sandbox.Cluster:
    """Runs a test on both kinds of node, on the clusters of the two fixtures above."""
    fixture = {"kwok": "control_plane", "real": "real_node_cluster"}[request.param]
    return cast("sandbox.Cluster", request.getfixturevalue(fixture))


def _cluster(node: sandbox.NodeChoice) -> Iterator[sandbox.Cluster]:
    reason = sandbox.why_not(node)
    if reason is not None:
        pytest.skip(reason)
    with sandbox.control_plane(node) as cluster:
        yield cluster
