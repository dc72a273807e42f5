from __future__ import annotations

from typing import Any

import pytest

from kasbah.agentk.doctor.cluster import ClusterHops
from kasbah.kit.doctor import runner
from kasbah.kit.doctor.check import Check, Finding, Result
from kasbah.kube.access import ClusterAccess
from kasbah.kube.client import ServerVersion, StatusError

pytestmark = pytest.mark.asyncio
ACCESS = ClusterAccess(host="127.0.0.1", port=6443)


class ApiServer:
    """Answers what the looks ask, or fails with a status."""

    def __init__(self, *, allowed: bool = True, fails: int = 0, reviews: int = 0) -> None:
        self._allowed = allowed
        self._fails = fails
        self._reviews = reviews

    async def server_version(self) -> ServerVersion:
        self._fail(self._fails)
        return ServerVersion(git_version="v1.36.0")

    async def send_json(self, _: str, path: str, __: object) -> Any:
        if path.endswith("selfsubjectreviews"):
            self._fail(self._reviews)
            return {"status": {"userInfo": {"username": "mia", "groups": ["ops"]}}}
        return {"status": {"allowed": self._allowed}}

    def _fail(self, status: int) -> None:
        if status:
            raise StatusError(status, f"the API server answered {status}")


class Deaf:
    def begins(self, _: Check) -> None: ...

    def ended(self, _: Result) -> None: ...


async def looked(server: Any) -> dict[str, Result]:
    checks = ClusterHops(ACCESS, server, "ops").checks()
    about = [check for check in checks if check.name.split(".")[1] not in {"proxy", "dns", "tcp", "tls"}]
    reached = Check(name="cluster.tcp", doing="", look=_reached)
    report = await runner.examine([reached, *about], Deaf())
    return {result.name: result for result in report.results}


async def _reached() -> Finding:
    return Finding(seen="")


async def test_a_well_cluster_says_who_the_agent_is_and_what_it_may():
    results = await looked(ApiServer())
    assert "Kubernetes v1.36.0" in results["cluster.version"].seen
    assert results["cluster.identity"].seen == "the agent is mia (groups: ops)"
    assert not any(result.fault for result in results.values())


async def test_missing_rights_are_told_with_what_gives_them():
    results = await looked(ApiServer(allowed=False))
    assert results["cluster.impersonate"].fault == "rbac-impersonate"
    assert "may not impersonate users, impersonate groups" in results["cluster.impersonate"].seen
    assert "`access_as` user, ci_job or impersonate" in results["cluster.impersonate"].advice
    assert "kind: ClusterRole" in results["cluster.impersonate"].details
    assert results["cluster.leases"].fault == "rbac-leases"
    assert "in ops" in results["cluster.leases"].seen


@pytest.mark.parametrize(
    ("status", "fault"), [(401, "cluster-credential"), (403, "cluster-forbidden"), (500, "cluster-unwell")]
)
async def test_a_refusal_has_a_name(status: int, fault: str):
    assert (await looked(ApiServer(fails=status)))["cluster.version"].fault == fault


async def test_an_old_api_server_need_not_say_who_we_are():
    results = await looked(ApiServer(reviews=404))
    assert (results["cluster.identity"].fault, results["cluster.leases"].fault) == ("", "")
    assert (await looked(ApiServer(reviews=401)))["cluster.identity"].fault == "cluster-credential"
