"""The API's objects, with only the fields that commands read; the objects themselves keep all they came with."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

Json = dict[str, Any]
"""A JSON object: the one border where `Any` is meant."""


class Identified(TypedDict):
    """What every object of the API has."""

    id: int


class User(Identified):
    username: str
    name: NotRequired[str]
    state: NotRequired[str]


class Member(User):
    access_level: int
    expires_at: NotRequired[str | None]


class Group(Identified):
    full_path: str
    visibility: NotRequired[str]


class Project(Identified):
    path_with_namespace: str
    default_branch: NotRequired[str | None]
    http_url_to_repo: NotRequired[str]
    visibility: NotRequired[str]


class ConfigProject(Identified):
    path_with_namespace: str


class Agent(Identified):
    name: str
    config_project: ConfigProject
    created_at: str


class AgentToken(Identified):
    name: str
    status: NotRequired[str]
    created_at: NotRequired[str]
    token: NotRequired[str]


class AccessToken(Identified):
    name: str
    scopes: list[str]
    expires_at: NotRequired[str | None]
    active: NotRequired[bool]
    token: NotRequired[str]


class JobAgent(Identified):
    name: str
    project_path: str
    default_namespace: str | None


class JobToken(Identified):
    ref: str
    status: str
    token: NotRequired[str]
    agents: NotRequired[list[JobAgent]]


class KasMetadata(TypedDict):
    enabled: bool
    externalUrl: str | None
    externalK8sProxyUrl: NotRequired[str | None]


class Metadata(TypedDict):
    version: str
    kas: KasMetadata


class AuditRecordShown(Identified):
    """A record of the audit log; docs/howto/audit.md tells all its keys."""

    hash: str
    phase: str
    at: str
    request_id: str
    user: Json
    identity: Json
    target: Json
    agent_id: int
    status: NotRequired[int]
    outcome: NotRequired[str]


class AuditProof(TypedDict):
    """What the verification of the audit log found."""

    log: str
    first: int
    sequence: int
    hash: str
    records: int
    segments: int
    set_aside: list[Json]
    fault: Json | None
