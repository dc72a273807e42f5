"""What agentk must be allowed in its cluster, and the manifest that allows what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

IMPERSONATED_EXTRA: Final = tuple(
    f"agent.gitlab.com/{key}"
    for key in (
        *("id", "config_project_id", "project_id", "access_type", "username"),
        *("ci_pipeline_id", "ci_job_id", "environment_slug", "environment_tier"),
    )
)
_IMPERSONATION: Final = "agentk-impersonation"
_LEASES: Final = "agentk-leases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """One thing to be allowed."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    """Empty: everywhere."""

    @property
    def text(self) -> str:
        sub = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.resource}{sub}"

    def review(self) -> dict[str, Any]:
        """The question whether we have it."""
        attributes = {"verb": self.verb, "group": self.group, "resource": self.resource}
        attributes |= {"subresource": self.subresource} if self.subresource else {}
        attributes |= {"namespace": self.namespace} if self.namespace else {}
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }


def impersonation() -> list[Right]:
    """For `access_as` other than `agent`."""
    extra = [
        Right(verb="impersonate", group="authentication.k8s.io", resource="userextras", subresource=key)
        for key in IMPERSONATED_EXTRA
    ]
    return [Right(verb="impersonate", group="", resource=name) for name in ("users", "groups")] + extra


def leases(namespace: str) -> list[Right]:
    """For modules that run once, by leader election."""
    return [
        Right(verb=verb, group="coordination.k8s.io", resource="leases", namespace=namespace)
        for verb in ("get", "create", "update")
    ]


def manifest(missing: Sequence[Right], username: str) -> list[str]:
    """YAML, line by line, that gives these to this user: a role and its binding; all of one namespace, or of none."""
    namespace = missing[0].namespace
    kind = "Role" if namespace else "ClusterRole"
    metadata = f"{{name: {_LEASES}, namespace: {namespace}}}" if namespace else f"{{name: {_IMPERSONATION}}}"
    name = _LEASES if namespace else _IMPERSONATION
    return [
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}",
        f"metadata: {metadata}",
        "rules:",
        *(line for rule in _rules(missing) for line in rule),
        "---",
        "apiVersion: rbac.authorization.k8s.io/v1",
        f"kind: {kind}Binding",
        f"metadata: {metadata}",
        f"roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {name}}}",
        f"subjects: [{_subject(username)}]",
    ]


def _rules(missing: Sequence[Right]) -> list[list[str]]:
    """One rule for each group and verb, with its resources."""
    resources: dict[tuple[str, str], list[str]] = {}
    for right in missing:
        name = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        resources.setdefault((right.group, right.verb), []).append(name)
    return [
        [f'- apiGroups: ["{group}"]', f"  resources: [{', '.join(names)}]", f"  verbs: [{verb}]"]
        for (group, verb), names in resources.items()
    ]


def _subject(username: str) -> str:
    parts = username.split(":")
    if username.startswith("system:serviceaccount:") and len(parts) == 4:
        return f"{{kind: ServiceAccount, namespace: {parts[2]}, name: {parts[3]}}}"
    return f'{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "{username}"}}'
