"""The looks at the API server: the way to it, who the agent is there, and what it may do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from kasbah.agentk.doctor import rights
from kasbah.agentk.doctor.rights import Right
from kasbah.kit.doctor import certificate
from kasbah.kit.doctor.certificate import Trust
from kasbah.kit.doctor.check import Check, FaultError, Finding
from kasbah.kit.doctor.way import Way
from kasbah.kube.access import ClusterAccess
from kasbah.kube.client import KubeClient, StatusError

_REVIEW: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_ACCESS_REVIEW: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_REMEDY: Final = (
    "give its PEM in the kubeconfig (certificate-authority-data) or with --certificate-authority; "
    "in a pod it is the service account's ca.crt"
)


class ClusterHops:
    """Asks as agentk itself; `client`'s pool must be running."""

    def __init__(self, access: ClusterAccess, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._username = ""
        own = certificate.authorities_of(access.tls) if access.tls is not None else ()
        self._way = Way(
            name="cluster",
            host=access.host,
            port=access.port,
            context=access.tls,
            server_name=access.server_name or access.host,
            trust=Trust(remedy=_REMEDY, authorities=own if len(own) < 10 else ()),
            proxy_says="agentk dials the API server directly",
        )

    def checks(self) -> list[Check]:
        """In order."""
        where, known = self._namespace, ("cluster.identity",)
        return [
            *self._way.checks(),
            Check(
                name="cluster.version",
                doing="ask the API server for its version",
                look=self._look_at_version,
                needs=(self._way.last,),
            ),
            Check(
                name="cluster.identity",
                doing="ask the API server who we are",
                look=self._look_at_identity,
                needs=("cluster.version",),
            ),
            Check(
                name="cluster.impersonate",
                doing="may the agent act as people and jobs",
                look=self._look_at_impersonation,
                needs=known,
            ),
            Check(
                name="cluster.leases",
                doing=f"may the agent keep leases in {where}",
                look=self._look_at_leases,
                needs=known,
            ),
        ]

    async def _look_at_version(self) -> Finding:
        loop = asyncio.get_running_loop()
        try:
            await self._client.server_version()
            began = loop.time()
            version = await self._client.server_version()
        except StatusError as error:
            raise _refusal(error) from error
        return Finding(seen=f"Kubernetes {version.git_version}, in {(loop.time() - began) * 1000:.1f} ms")

    async def _look_at_identity(self) -> Finding:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        try:
            answer = await self._client.send_json("POST", _REVIEW, review)
        except StatusError as error:
            if error.status in {403, 404}:  # before Kubernetes 1.28, or forbidden to everybody
                return Finding(seen="the API server does not say who we are")
            raise _refusal(error) from error
        user = answer.get("status", {}).get("userInfo", {})
        self._username = str(user.get("username", ""))
        groups = ", ".join(map(str, user.get("groups", ())))
        return Finding(seen=f"the agent is {self._username} (groups: {groups or 'none'})")

    async def _look_at_impersonation(self) -> Finding:
        missing = await self._missing(rights.impersonation())
        if not missing:
            return Finding(seen="the agent may impersonate users, groups and extra fields")
        return Finding(
            seen=f"the agent may not {_list(missing)}",
            warning="rbac-impersonate",
            advice="needed when a configuration says `access_as` user, ci_job or impersonate; apply:",
            details=tuple(rights.manifest(missing, self._username)),
        )

    async def _look_at_leases(self) -> Finding:
        missing = await self._missing(rights.leases(self._namespace))
        if not missing:
            return Finding(seen=f"the agent may get, create and update leases in {self._namespace}")
        return Finding(
            seen=f"the agent may not {_list(missing)} in {self._namespace}",
            warning="rbac-leases",
            advice="needed by modules that run in one pod of several, by leader election; apply:",
            details=tuple(rights.manifest(missing, self._username)),
        )

    async def _missing(self, wanted: Sequence[Right]) -> list[Right]:
        missing: list[Right] = []
        for right in wanted:
            try:
                answer = await self._client.send_json("POST", _ACCESS_REVIEW, right.review())
            except StatusError as error:
                raise _refusal(error) from error
            if not answer.get("status", {}).get("allowed"):
                missing.append(right)
        return missing


def _list(missing: Sequence[Right]) -> str:
    texts = [right.text for right in missing]
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(texts[:3]) + more


def _refusal(error: StatusError) -> FaultError:
    if error.status == 401:
        return FaultError(
            "cluster-credential",
            f"the API server does not know the agent's credential: {error}",
            "look at the kubeconfig's user, or at the pod's service account and its mounted token",
        )
    if error.status == 403:
        return FaultError(
            "cluster-forbidden",
            f"the API server forbids what every user may: {error}",
            "look whether the cluster role bindings system:discovery and system:basic-user are in place",
        )
    return FaultError(
        "cluster-unwell", f"the API server fails: {error}", "look at the API server's own log and health"
    )
