"""kas as a program of its own, beside a hub in another process: GitLab's ports, one for agents, one for kubectl."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import sandbox
from tests.e2e.world import Program, World, free_port, world


@pytest.fixture(scope="module")
def hub_world(control_plane: sandbox.Cluster, tmp_path_factory: pytest.TempPathFactory):
    with world(tmp_path_factory.mktemp("alone"), control_plane) as made:
        made.agentk.kill()
        yield made


def kas(world: World, directory: Path, **ports: int) -> Program:
    """A kas whose Git side is the hub of `kasbah up`."""
    grace = {"listen_grace_period": "0.1s"}
    tls = {"certificate_file": str(world.data / "tls.crt"), "key_file": str(world.data / "tls.key")}
    configuration = {
        "gitlab": {"address": world.https, "ca_certificate_file": str(world.ca_file)}
        | {"authentication_secret_file": str(world.data / "kas-secret")},
        "agent": {
            "listen": {"address": f"127.0.0.1:{ports['agents']}"} | grace,
            "kubernetes_api": {
                "listen": {"address": f"127.0.0.1:{ports['kubernetes_api']}"} | tls | grace,
                "url_path_prefix": "/k8s-proxy/",
            },
        },
        "observability": {"listen": {"address": f"127.0.0.1:{ports['observability']}"}},
    }
    file = directory / "kas.yaml"
    file.write_text(json.dumps(configuration))
    argv = [sys.executable, "-m", "kasbah.kas", f"--configuration-file={file}"]
    return Program("kas", argv, directory, world.environment)


def test_kubectl_passes_through_a_kas_of_its_own(hub_world: World, tmp_path: Path):
    world, agents, kubernetes_api = hub_world, free_port(), free_port()
    program = kas(world, tmp_path, agents=agents, kubernetes_api=kubernetes_api, observability=free_port())
    agentk = world.new_agentk("agentk-alone", free_port(), address=f"ws://127.0.0.1:{agents}/")
    program.start()
    try:
        agentk.start()
        server = f"--server=https://127.0.0.1:{kubernetes_api}/k8s-proxy/"
        world.wait_for_agent(extra=(server,))
        assert "kube-system" in world.kubectl(server, "get", "namespaces").stdout
        with world.client() as client:
            refused = client.get(f"https://127.0.0.1:{kubernetes_api}/api")
        assert refused.status_code == 400
        assert "URL does not start with expected prefix" in refused.json()["message"]
        assert program.stop() == 0
    finally:
        agentk.kill()
        program.kill()


def test_a_bad_configuration_file_is_told_whole(hub_world: World, tmp_path: Path):
    program = kas(hub_world, tmp_path, agents=1, kubernetes_api=1, observability=1)
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
