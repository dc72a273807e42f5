"""What an answer on the way to a cluster's API server means: kas' own, the API server's, or somebody else's."""

from __future__ import annotations

import json
from typing import Any, Final

from kasbah.kit.doctor import http_faults
from kasbah.kit.doctor.check import FaultError
from kasbah.kit.doctor.link import Answer
from kasbah.wire.kubernetes_status import MESSAGE_PREFIX, is_from_kas

_NOT_CONNECTED: Final = ("Agent connection not found", "the agent is not connected")
"""GitLab's words, and ours for an agent that was there a moment ago."""
_CLUSTER_AWAY: Final = "cannot reach the Kubernetes API server"
_OF_A_JOB: Final = "CI job token"
_MOST_LINES: Final = 100
_JOB_OVER: Final = (
    "is the job over, or its time? The next one gets its own token by `kasbah job-token create`"
)
_NOT_LET_IN: Final = (
    "is it the right agent, and does its configuration (in .gitlab/agents/<name>/config.yaml on the default branch) let "
    "you in: a person by `user_access`, at least Developer in what it names, or a CI job by `ci_access`?"
)
_SEE_AGENT: Final = (
    "run `agentk doctor` where agentk runs: it names the hop, and prints the YAML of missing rights"
)


def document_of(answer: Answer) -> dict[str, Any]:
    """The body as a JSON object; empty when it is none."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def is_status(answer: Answer) -> bool:
    """Whether it is Kubernetes' own kind of error."""
    return document_of(answer).get("kind") == "Status"


def judge(answer: Answer, target: str, *, expected: tuple[int, ...]) -> dict[str, Any]:
    """The document of an answer with one of the expected statuses, from kas or the API server.

    Raises:
        FaultError: any other answer, named by who gives it.
    """
    document = document_of(answer)
    if answer.status in expected and document:
        return document
    if is_from_kas(answer.headers, answer.body):
        raise _of_kas(answer, str(document.get("message", answer.summary)))
    if is_status(answer):
        raise _of_api_server(answer, str(document.get("message", "")))
    raise http_faults.of(answer, server="kas", target=target)


def _of_kas(answer: Answer, message: str) -> FaultError:
    told = message.removeprefix(MESSAGE_PREFIX)
    if any(words in told for words in _NOT_CONNECTED):
        return FaultError(
            "agent-not-connected",
            f"kas lets you in, but no agentk of this agent is connected: {told}",
            "look whether agentk runs in the cluster, and run `agentk doctor` there",
        )
    if _CLUSTER_AWAY in told:
        return FaultError("agent-cluster-away", f"the agent is connected, but: {told}", _SEE_AGENT)
    if answer.status in {401, 403}:
        advice = _JOB_OVER if answer.status == 401 and _OF_A_JOB in told else _NOT_LET_IN
        return FaultError("agent-not-allowed", f"kas does not let you use this agent: {told}", advice)
    if answer.status == 413:
        return FaultError("kas-body-limit", f"kas takes no bodies of this size: {told}", "raise its limit")
    if answer.status in {429, 503}:
        return FaultError(
            "kas-busy", f"kas or the agent is busy: {told}", "try again; look at the limits of kas"
        )
    return FaultError(
        "kas-refuses", f"kas answers {answer.status}: {told}", "look at the log of kas and of agentk"
    )


def _of_api_server(answer: Answer, message: str) -> FaultError:
    """A refusal, below which kas may have written what would allow the request, behind an empty line."""
    said, _, below = message.partition("\n\n")
    fault = _named(answer, said)
    fault.details = tuple(below.splitlines()[:_MOST_LINES])
    return fault


def _named(answer: Answer, message: str) -> FaultError:
    if answer.status == 403 and "cannot impersonate" in message:
        return FaultError(
            "agent-may-not-impersonate", f"the agent may not act as you in its cluster: {message}", _SEE_AGENT
        )
    if answer.status == 401:
        return FaultError(
            "agent-credential", f"the API server does not know the agent's credential: {message}", _SEE_AGENT
        )
    return FaultError(
        "api-server-refuses",
        f"the way is good, but the API server answers {answer.status}: {message}",
        "look at the rights of the user named above in the cluster",
    )
