"""`kasbah doctor`: look at the way to a cluster, hop by hop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import App, Parameter

from kasbah.cli.doctor import examination
from kasbah.cli.doctor.examination import Wanted
from kasbah.cli.durations import parse_duration
from kasbah.cli.errors import UsageError
from kasbah.cli.parameters import ANY_PARAMETER, AgentName, Here, InProject
from kasbah.errors import PeerError

_LONGEST_WATCH_S: Final = 3600.0
_EPILOGUE: Final = """\
It takes the way that kubectl takes: the login, the hub and its token, kas, and with an agent everything up to its API
server: who you are there, exec over WebSocket and SPDY, a watch, a large request. It says what it does while it does it,
what it saw, and what to change; what depends on a hop that fails is skipped. It changes nothing but what kubectl would (a
short-lived token in the cache), and shows no secret. `agentk doctor` does the same from the agent's side.

- As far as kas: `kasbah doctor`
- The whole way: `kasbah doctor prod --project ops/fleet`
- In a job, with the job's KUBECONFIG: `kasbah doctor --context ops/fleet:prod`
- Do silent streams last, and does exec really work? `kasbah doctor prod -p ops/fleet --watch 90s --pod web-0`

Exit codes: 0 all is well (there may be warnings), 1 something is wrong, 2 wrong usage.
"""


def doctor(
    agent: AgentName = "",
    *,
    project: InProject = "",
    context: str = "",
    kubeconfig_file: Annotated[Path | None, Parameter(name="--kubeconfig")] = None,
    namespace: Annotated[str, Parameter(name=["--namespace", "-n"])] = "",
    pod: str = "",
    watch: str = "5s",
    output: Annotated[Literal["text", "json"], Parameter(name=["--output", "-o"])] = "text",
    here: Here,
) -> None:
    """Look at the way to a cluster, hop by hop, and name the first that fails.

    Args:
        agent: The agent, by name (with --project) or id; without it the way is looked at as far as kas.
        context: A context of the kubeconfig instead of an agent: its server and its credential, without any login; in a
            job, the one that `kasbah job-token create` or GitLab wrote.
        kubeconfig_file: The file of that context instead of $KUBECONFIG or ~/.kube/config.
        namespace: Where to look in the cluster; else the context's, else default.
        pod: A pod in which to really run `true`, over WebSocket; without it exec is tried on a pod that is not there.
        watch: How long a watch must last; 30s or more finds proxies that end what is silent.
        output: text for people; json for machines.
    """
    try:
        watch_s = parse_duration(watch).total_seconds()
    except UsageError as error:
        raise UsageError(f"--watch: {error}") from error
    if not 1 <= watch_s <= _LONGEST_WATCH_S:
        raise UsageError("--watch takes from 1s to 1h")
    wanted = Wanted(
        agent=agent,
        project=project,
        context=context,
        kubeconfig=kubeconfig_file,
        namespace=namespace,
        pod=pod,
        watch_s=watch_s,
    )
    report = examination.run(here, wanted, as_json=output == "json")
    fault = report.first_fault
    if fault is not None:
        raise PeerError(f"the first hop that fails is {fault.name} ({fault.fault})")
    if not agent and not context and output == "text":
        here.hint(
            "That is the way as far as kas; with an agent it goes on: `kasbah doctor AGENT --project PROJECT`."
        )


app = App(name="doctor", help_epilogue=_EPILOGUE, help_format="markdown", default_parameter=ANY_PARAMETER)
app.default(doctor)
