"""Explains a cluster's 403 to whoever got it: who they are there, what let them in, and what would allow the request.

The cluster's own sentence stays first and whole. Below it stands nothing about others, and no right is suggested but the one
for this very request, and only when the API server's authoriser has refused exactly that. What passes through to a pod
or a service is answered by strangers, who could say anything: nothing is added to it. Strangers may answer elsewhere, too
(extensions of the API server, webhooks), so whatever a body holds costs little and makes little more of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from kasbah.errors import UserError
from kasbah.kas.kubernetes_api.access import AccessType, Basis
from kasbah.kas.kubernetes_api.grant import Grant
from kasbah.kas.kubernetes_api.refusals import MAX_ADDED_BYTES, MAX_REFUSAL_BYTES
from kasbah.kit import strict_yaml
from kasbah.wire import rbac_manifest, rbac_refusal, status_body
from kasbah.wire.identity import AsAgent, AsUser, Identity
from kasbah.wire.rbac_manifest import Subject
from kasbah.wire.rbac_refusal import RefusedAction
from kasbah.wire.request_policy import ProxyRequest
from kasbah.wire.status_body import StatusBody
from kasbah.wire.status_rows import below, printable, rows

_MAX_GROUPS: Final = 20
_SHOWN: Final[Mapping[AccessType, str]] = {
    "ci_job": "a job's token",
    "personal_access_token": "a personal access token",
    "session_cookie": "a browser session",
}
_JOB: Final = re.compile(r"gitlab:ci_job:\d+")
# Groups that outlive a job, the narrower first.
_LASTING_GROUPS: Final = ("gitlab:project_env:", "gitlab:project:")
_VERBS: Final[Mapping[bytes, frozenset[str]]] = {
    b"GET": frozenset({"get", "list", "watch"}),
    b"POST": frozenset({"create"}),
    b"PUT": frozenset({"update", "create"}),
    b"PATCH": frozenset({"patch", "create"}),
    b"DELETE": frozenset({"delete", "deletecollection"}),
}
"""By what an API server may judge a request; writing to what is not there yet is judged twice."""
_PIPES: Final = frozenset({"exec", "attach", "portforward"})
_IMPERSONATION_GROUPS: Final = frozenset({"", "authentication.k8s.io"})
_FLAT: Final = strict_yaml.Limits(
    max_bytes=MAX_REFUSAL_BYTES, max_depth=2, max_nodes=64, max_anchors=0, max_documents=1
)
_DIRECTIVE: Final = b"%TAG"
"""Each is compared with all before it, so thousands cost much."""
_KEYS: Final = frozenset({"apiVersion", "kind", "metadata", "status", "message", "reason", "details", "code"})
"""Of a `Status`: as YAML it is written anew, so nothing else may be in it."""
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class RefusalExplainer:
    """The `Explainer` of people and jobs."""

    def explain(self, grant: Grant, request: ProxyRequest, content_type: bytes, body: bytes) -> bytes | None:
        """The body with an explanation below the cluster's sentence; None when it is no `Status` of the cluster's own."""
        if "proxy" in {request.target.verb, request.target.subresource}:
            return None
        status = status_body.read(content_type, body) or _read_yaml(content_type, body)
        if status is None:
            return None
        refused = _refused(status, request, _identity(grant, request))
        told = status.with_message(
            below(status.message, rows(_who(grant, request, refused)), _advice(grant, request, refused))
        )
        return told if len(told) <= len(body) + MAX_ADDED_BYTES else None


def _identity(grant: Grant, request: ProxyRequest) -> Identity:
    return grant.identity if request.impersonation is None else request.impersonation


# What was refused.


def _refused(status: StatusBody, request: ProxyRequest, identity: Identity) -> RefusedAction | None:
    """What the API server's authoriser refused, when it speaks of this request and of this identity."""
    refused = rbac_refusal.read(status)
    if refused is None:
        return _refused_pipe(status, request, identity)
    if refused.impersonates:
        return refused if _is_the_agents(refused, status, request, identity) else None
    if isinstance(identity, AsUser) and refused.user != identity.username:
        return None
    return refused if _is_of(refused, request) else None


def _is_the_agents(
    refused: RefusedAction, status: StatusBody, request: ProxyRequest, identity: Identity
) -> bool:
    """Whether the agent was kept from acting as this identity: by a part of it, or for this request."""
    if not isinstance(identity, AsUser) or rbac_manifest.user(refused.user).kind != "ServiceAccount":
        return False
    if (status.kind, status.group) != (refused.resource, refused.group):
        return False
    if refused.verb.startswith("impersonate-on:"):
        verb = refused.verb.rpartition(":")[2]
        return _is_of(msgspec.structs.replace(refused, verb=verb), request)
    return refused.group in _IMPERSONATION_GROUPS and _is_part(refused, identity)


def _is_part(refused: RefusedAction, identity: AsUser) -> bool:
    match refused.resource:
        case "users":
            return refused.name == identity.username
        case "serviceaccounts":
            return f"system:serviceaccount:{refused.namespace}:{refused.name}" == identity.username
        case "groups":
            return refused.name in identity.groups
        case "uids":
            return bool(refused.name) and refused.name == identity.uid
        case "userextras":
            return refused.name in dict(identity.extra).get(refused.subresource, ())
    return False


def _refused_pipe(status: StatusBody, request: ProxyRequest, identity: Identity) -> RefusedAction | None:
    """API servers that judge the GET of a WebSocket as `create`, too, do not say so: their sentence ends early."""
    target, reason = request.target, rbac_refusal.reason_of(status)
    if reason is None or (reason and not reason.startswith("RBAC: ")) or not isinstance(identity, AsUser):
        return None
    if not _is_read_pipe(request) or (status.kind, status.name) != ("pods", target.name):
        return None
    return RefusedAction(
        user=identity.username,
        verb="create",
        resource="pods",
        subresource=target.subresource,
        name=target.name,
        namespace=target.namespace,
    )


def _is_read_pipe(request: ProxyRequest) -> bool:
    """An exec and its like, asked for by GET: as WebSockets are."""
    target = request.target
    is_pipe = (target.group, target.resource) == ("", "pods") and target.subresource in _PIPES
    return is_pipe and _method(request) == b"GET"


def _is_of(refused: RefusedAction, request: ProxyRequest) -> bool:
    """Whether the sentence speaks of this request."""
    target = request.target
    if refused.path:
        path = target.raw.partition(b"?")[0].decode("latin-1")
        return not target.resource and unquote(path) == refused.path
    if refused.verb not in _VERBS.get(_method(request), ()):
        return False
    if refused.name != target.name and (target.name or refused.verb not in {"list", "watch"}):
        return False  # a list may have a name: its field selector's
    asked = (target.group, target.resource, target.subresource, target.namespace)
    return asked == (refused.group, refused.resource, refused.subresource, refused.namespace)


def _method(request: ProxyRequest) -> bytes:
    return request.head.partition(b" ")[0]


# What is told.


def _who(grant: Grant, request: ProxyRequest, refused: RefusedAction | None) -> list[tuple[str, str]]:
    access, identity = grant.access, _identity(grant, request)
    person = f"{access.username}, by {_SHOWN[access.access_type]}"
    told = [("you", f"job {access.job_id} of {person}" if access.job_id else person)]
    if isinstance(identity, AsAgent):
        account = f", {refused.user}" if refused else ""
        told.append(("acting as", f"the agent's own identity{account}"))
    else:
        by_choice = " (your choice)" if request.impersonation else ""
        told += [("acting as", identity.username + by_choice), ("in groups", _groups(identity.groups))]
    told.append(("let in by", _basis(access.basis)))
    return told


def _groups(groups: tuple[str, ...]) -> str:
    shown = ", ".join(groups[:_MAX_GROUPS])
    return f"{shown} and {len(groups) - _MAX_GROUPS} more" if len(groups) > _MAX_GROUPS else shown


def _basis(basis: Basis | None) -> str:
    if basis is None:
        return ""
    if basis.entry == "implicit":
        return f"being of the agent's own project {basis.project_path}"
    line = f" line {basis.line}" if basis.line else ""
    return f"{basis.entry} in {basis.file}{line} of {basis.project_path}"


def _advice(grant: Grant, request: ProxyRequest, refused: RefusedAction | None) -> str:
    identity = _identity(grant, request)
    if refused is None:
        return ""
    if refused.impersonates:
        return _advice_to_agents_owner(refused, identity, only_this=grant.identity != identity)
    subject = _subject(refused, identity)
    both = _is_read_pipe(request) and refused.verb == "get"
    manifest = rbac_manifest.allow(refused, subject, *(("create",) if both else ()))
    if not manifest:
        return ""
    whom = f" to everybody in {printable(subject.name)}" if subject.kind == "Group" else ""
    told = f"To allow exactly this{whom}, an administrator of the cluster can apply:"
    if refused.verb == "patch" and b"\r\nContent-Type: application/apply-patch" in request.head:
        told = f"An object that does not exist yet needs the verb create, too.\n{told}"
    return below(told, manifest)


def _advice_to_agents_owner(refused: RefusedAction, identity: Identity, *, only_this: bool) -> str:
    if isinstance(identity, AsAgent):
        return ""
    manifest = rbac_manifest.allow_impersonation(
        identity, rbac_manifest.user(refused.user), only_this=only_this
    )
    whom = printable(identity.username) if only_this else "you"
    return below(
        f"The agent may not act as {whom}: its own identity, {printable(refused.user)}, lacks the right.\n"
        "This is not about your rights. An administrator of the cluster can apply:",
        manifest,
    )


def _subject(refused: RefusedAction, identity: Identity) -> Subject:
    """Whom to allow: something that lasts, so never the one job."""
    if isinstance(identity, AsUser) and _JOB.fullmatch(identity.username):
        for prefix in _LASTING_GROUPS:
            for group in identity.groups:
                if group.startswith(prefix):
                    return Subject(kind="Group", name=group)
    return rbac_manifest.user(refused.user)


# YAML, which nobody but people asks for.


def _read_yaml(content_type: bytes, body: bytes) -> StatusBody | None:
    if content_type.partition(b";")[0].strip().lower() != status_body.YAML:
        return None
    if _DIRECTIVE in body:
        return None
    try:
        document = strict_yaml.read(body, _FLAT)
    except UserError:
        return None
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        return None
    return status_body.from_document(document, lambda text: _write_yaml(document | {"message": text}))


def _write_yaml(document: Mapping[str, Any]) -> bytes:
    """A line a key; JSON's values are YAML's, too."""
    text = "".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in sorted(document.items())
    )
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8", "replace")
