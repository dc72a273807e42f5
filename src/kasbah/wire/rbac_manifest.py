"""The smallest RBAC objects that allow one action, as YAML for whoever administers a cluster.

Names in it come from strangers, and somebody with all rights may apply it. So whatever RBAC would read as more than
the one thing (`*`) gets no manifest at all, every text is quoted unless it is a plain word, and the objects' own names
are made here: valid, and the same each time.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from kasbah.wire.identity import AsUser
from kasbah.wire.rbac_refusal import RefusedAction

_API_GROUP: Final = "rbac.authorization.k8s.io"
_PLAIN: Final = re.compile(r"[a-z](?:[a-z0-9./-]*[a-z0-9])?")
_NOT_TEXT: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_RESOURCE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SERVICE_ACCOUNT: Final = re.compile(r"system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})")
_AUTHENTICATION: Final = "authentication.k8s.io"
_MAX_PATH_CHARACTERS = 1024


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Who is to be allowed."""

    kind: str
    """`User`, `Group` or `ServiceAccount`."""
    name: str
    namespace: str = ""
    """Of a service account."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of a role."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


def user(name: str) -> Subject:
    """The subject that a user's name stands for."""
    account = _SERVICE_ACCOUNT.fullmatch(name)
    if account:
        return Subject(kind="ServiceAccount", name=account[2], namespace=account[1])
    return Subject(kind="User", name=name)


def allow(action: RefusedAction, subject: Subject, *more_verbs: str) -> str:
    """A role that allows this action and nothing else, and its binding; empty when there is no such role.

    Args:
        action: what was refused.
        subject: who asked.
        more_verbs: what the same request is judged by, too.
    """
    verbs = (action.verb, *more_verbs)
    if action.path:
        if "*" in action.path or len(action.path) > _MAX_PATH_CHARACTERS:
            return ""
        return _manifest(
            Rule(verbs=verbs, paths=(action.path,)), subject=subject, title=f"{action.verb}-path"
        )
    parts = [action.resource, *filter(None, (action.group, action.subresource))]
    if not all(_RESOURCE.fullmatch(part) for part in parts):
        return ""
    if action.namespace and not _NAMESPACE.fullmatch(action.namespace):
        return ""
    resource = f"{action.resource}/{action.subresource}" if action.subresource else action.resource
    rule = Rule(
        verbs=verbs,
        groups=(action.group,),
        resources=(resource,),
        names=(action.name,) if action.name else (),
    )
    return _manifest(rule, subject=subject, namespace=action.namespace, title=f"{action.verb}-{resource}")


def allow_impersonation(identity: AsUser, subject: Subject, *, only_this: bool) -> str:
    """What an agent needs to act as others, as this identity names them.

    Args:
        identity: as whom it should have acted.
        subject: the agent's own identity.
        only_this: as exactly this one; otherwise as any that has the same parts.
    """
    account = _SERVICE_ACCOUNT.fullmatch(identity.username)
    rules = [
        _impersonate("", "serviceaccounts", (account[2],))
        if account
        else _impersonate("", "users", (identity.username,)),
        _impersonate("", "groups", identity.groups),
        *(_impersonate(_AUTHENTICATION, f"userextras/{key}", values) for key, values in identity.extra),
        _impersonate(_AUTHENTICATION, "uids", (identity.uid,) if identity.uid else ()),
    ]
    needed = [rule for rule in rules if rule.names]
    return _manifest(*(needed if only_this else _merged(needed)), subject=subject, title="impersonate")


def _impersonate(group: str, resource: str, names: Sequence[str]) -> Rule:
    return Rule(verbs=("impersonate",), groups=(group,), resources=(resource,), names=tuple(names))


def _merged(rules: Sequence[Rule]) -> list[Rule]:
    """Rules without names, one an API group."""
    groups = dict.fromkeys(rule.groups for rule in rules)
    return [
        Rule(
            verbs=("impersonate",),
            groups=group,
            resources=tuple(rule.resources[0] for rule in rules if rule.groups == group),
        )
        for group in groups
    ]


def _manifest(*rules: Rule, subject: Subject, title: str, namespace: str = "") -> str:
    kind = "Role" if namespace else "ClusterRole"
    text = "\n".join(line for rule in rules for line in _rule_lines(rule))
    name = _name(title, namespace, text, subject)
    metadata = f"metadata:\n  name: {name}\n" + (f"  namespace: {_scalar(namespace)}\n" if namespace else "")
    return (
        f"apiVersion: {_API_GROUP}/v1\nkind: {kind}\n{metadata}rules:\n{text}\n---\n"
        f"apiVersion: {_API_GROUP}/v1\nkind: {kind}Binding\n{metadata}"
        f"roleRef:\n  apiGroup: {_API_GROUP}\n  kind: {kind}\n  name: {name}\n"
        f"subjects:\n{_subject_lines(subject)}"
    )


def _rule_lines(rule: Rule) -> list[str]:
    fields = {
        "apiGroups": rule.groups,
        "resources": rule.resources,
        "resourceNames": rule.names,
        "nonResourceURLs": rule.paths,
        "verbs": rule.verbs,
    }
    lines = [f"  {key}: [{', '.join(map(_scalar, values))}]" for key, values in fields.items() if values]
    return ["- " + lines[0].lstrip(), *lines[1:]]


def _subject_lines(subject: Subject) -> str:
    if subject.kind == "ServiceAccount":
        return f"- kind: ServiceAccount\n  name: {_scalar(subject.name)}\n  namespace: {_scalar(subject.namespace)}"
    return f"- apiGroup: {_API_GROUP}\n  kind: {subject.kind}\n  name: {_scalar(subject.name)}"


def _name(title: str, *content: object) -> str:
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:8]
    words = re.sub(r"[^a-z0-9]+", "-", title.lower())[:40].strip("-")
    return f"allow-{words}-{digest}"


def _scalar(text: str) -> str:
    """A YAML scalar that is this text to every reader."""
    if _PLAIN.fullmatch(text) and text not in _NOT_TEXT:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    if " " <= character <= "~":
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
