"""kas as a program of its own, beside a hub in another process: GitLab's ports, one for agents, one for kubectl."""

from __future__ import annotations

from pathlib import Path

import pytest

import sandbox
from tests.e2e.kas_program import KasProgram
from tests.e2e.world import World, free_port, world


@pytest.fixture(scope="module")
def hub_world(control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory):
    with world(tmp_path_factory.mktemp("alone"), control_plane) as made:
        made.agentk.kill()
        yield made


def test_kubectl_passes_through_a_kas_of_its_own(hub_world: World, tmp_path: Path):
    kas = KasProgram(hub_world, "kas", tmp_path)
    world = kas.world
    agentk = world.new_agentk("agentk-alone", free_port(), address=f"ws://127.0.0.1:{kas.agents}/")
    kas.start()
    try:
        agentk.start()
        world.wait_for_agent()
        assert "kube-system" in world.kubectl("get", "namespaces").stdout
        with world.client() as client:
            refused = client.get(f"https://127.0.0.1:{kas.kubernetes_api}/api")
        assert refused.status_code == 400
        assert "URL does not start with expected prefix" in refused.json()["message"]
        assert kas.stop() == 0
    finally:
        agentk.kill()
        kas.kill()


def test_a_bad_configuration_file_is_told_whole(hub_world: World, tmp_path: Path):
    program = KasProgram(hub_world, "kas", tmp_path)
    (tmp_path / "kas.yaml").write_text("gitlab: {adress: x}\n")
    program.start()
    assert program.process is not None
    assert program.process.wait(10) == 2
    first, *problems = program.log.read_text().splitlines()
    assert first == f"kas: {tmp_path / 'kas.yaml'} has 3 problems:"
    assert problems == [
        "  gitlab.adress: unknown key; did you mean address?",
        "  gitlab.address: required",
        "  gitlab.authentication_secret_file: required",
    ]
