"""The laboratory: one cluster with one Kasbah before it, and doors for the same people at both."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sandbox
from tests.e2e.conformance.raw_http import Headers
from tests.e2e.conformance.side import Door, Side, address_of
from tests.e2e.world import AS_USER_CONFIGURATION, Agent, World, wait_for, world

API_SERVER_FLAGS = (
    "--enable-priority-and-fairness=true",
    "--max-requests-inflight=400",
    "--feature-gates=CBORServingAndStorage=true",
)
PREFIX = "/-/kubernetes-agent/k8s-proxy"
ROLE: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "looks-at-config-maps"},
    "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The doors by the person and the way: `kas`, `grpc`, and `direct-kas`, `direct-grpc` for the same identities."""

    doors: Mapping[tuple[str, str], Door]

    def side(self, who: str, way: str, number: int) -> Side:
        """A place to run a behaviour at."""
        return Side(self.doors[who, way], number)


@contextmanager
def laboratory(directory: Path) -> Iterator[Lab]:
    """Everything running, and everybody let in."""
    binaries = dict(sandbox.clients())
    with (
        sandbox.control_plane("kwok", api_server_flags=API_SERVER_FLAGS) as cluster,
        world(directory, cluster) as made,
    ):
        binaries["kubectl"] = cluster.binary("kubectl")
        grpc = f"grpc://127.0.0.1:{made.ports['grpc']}"
        agents = {
            "kas": made.add_agent("people", AS_USER_CONFIGURATION),
            "grpc": made.add_agent("people-grpc", AS_USER_CONFIGURATION, address=grpc),
        }
        try:
            for agent in agents.values():
                agent.program.start()
            lab = _furnished(made, binaries, agents)
            yield lab
            for door in lab.doors.values():
                door.close()
        finally:
            for agent in agents.values():
                agent.program.kill()


def _furnished(made: World, binaries: Mapping[str, Path], agents: Mapping[str, Agent]) -> Lab:
    """Dora may do everything, Rob may look at ConfigMaps, and the agent is the administrator."""
    _grant(made.cluster)
    builder = _Builder(made, binaries)
    doors: dict[tuple[str, str], Door] = {}
    for name in ("dora", "rob"):
        person = made.add_person(name)
        for way, agent in agents.items():
            door = builder.kas(way, name, person.bearer(agent.id))
            doors[name, way] = door
            info = _identity(door)
            doors[name, f"direct-{way}"] = builder.direct(f"{name}-{way}", info)
    doors["agent", "kas"] = builder.kas("kas", "agent", made.bearer)
    doors["agent", "direct-kas"] = builder.direct("agent-kas", {})
    return Lab(doors=doors)


def _grant(cluster: sandbox.Cluster) -> None:
    cluster.kubectl(
        "create", "clusterrolebinding", "dora", "--clusterrole=cluster-admin", "--user=gitlab:user:dora"
    )
    cluster.kubectl("apply", "-f", "-", input=json.dumps(ROLE))
    name = ROLE["metadata"]["name"]
    cluster.kubectl("create", "clusterrolebinding", "rob", f"--clusterrole={name}", "--user=gitlab:user:rob")


def _identity(door: Door) -> dict[str, Any]:
    """Whom the API server sees behind this door, once the agent's configuration lets anybody in."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    wait_for(lambda: Side(door, 0).post(path, review).status == 201, 30)
    info: dict[str, Any] = json.loads(Side(door, 0).post(path, review).body)["status"]["userInfo"]
    return info


class _Builder:
    def __init__(self, made: World, binaries: Mapping[str, Path]) -> None:
        self._world = made
        self._cluster = made.cluster
        self._binaries = binaries
        self._admin_token = _admin_token(made.cluster)

    def direct(self, name: str, user_info: dict[str, Any]) -> Door:
        """At the API server: the administrator, who impersonates the identity that kas would."""
        kubeconfig = json.loads(self._admin_config())
        user = kubeconfig["users"][0]["user"]
        headers: Headers = [("Authorization", f"Bearer {self._admin_token}")]
        if user_info:
            groups = [group for group in user_info["groups"] if group != "system:authenticated"]
            user |= {"as": user_info["username"], "as-groups": groups, "as-user-extra": user_info["extra"]}
            headers += [("Impersonate-User", user_info["username"])]
            headers += [("Impersonate-Group", group) for group in groups]
            headers += [
                (f"Impersonate-Extra-{key.replace('/', '%2F')}", value)
                for key, values in user_info["extra"].items()
                for value in values
            ]
        return self._door(
            "direct", name, headers, self._cluster.api_server, "", self._cluster.ca_file, kubeconfig
        )

    def kas(self, way: str, name: str, bearer: str) -> Door:
        """At kas, with a person's own credential."""
        config = json.loads(self._world.write_kubeconfig(f"{way}-{name}.json", bearer).read_text())
        headers = [("Authorization", f"Bearer {bearer}")]
        return self._door(way, name, headers, self._world.https, PREFIX, self._world.ca_file, config)

    def _door(
        self, way: str, name: str, headers: Headers, url: str, prefix: str, ca_file: Path, config: Any
    ) -> Door:
        home = self._world.directory / f"home-{way}-{name}"
        home.mkdir()
        kubeconfig = home / "kubeconfig"
        kubeconfig.write_text(json.dumps(config))
        return Door(
            name=way,
            address=address_of(url),
            prefix=prefix,
            trust=ssl.create_default_context(cafile=ca_file),
            headers=headers,
            kubeconfig=kubeconfig,
            home=home,
            binaries=self._binaries,
        )

    def _admin_config(self) -> str:
        return self._cluster.kubectl("config", "view", "--raw", "-o", "json").stdout


def _admin_token(cluster: sandbox.Cluster) -> str:
    config = cluster.kubectl("config", "view", "--raw", "-o", "json").stdout
    return str(json.loads(config)["users"][0]["user"]["token"])
