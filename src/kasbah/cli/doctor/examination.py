"""Puts the looks of `kasbah doctor` in their order; what comes later depends on what the hub says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from kasbah.cli import credential, kubeconfig
from kasbah.cli.doctor import context, surroundings
from kasbah.cli.doctor.cluster_hops import ClusterHops
from kasbah.cli.doctor.hub_hops import HubHops
from kasbah.cli.doctor.kas_hops import KasHops
from kasbah.cli.errors import NotAllowedError, NotFoundError, UsageError
from kasbah.cli.lookup import find_agent
from kasbah.errors import UserError
from kasbah.kit.doctor import rendering, runner
from kasbah.kit.doctor.check import Check, FaultError, Finding, Report
from kasbah.kit.doctor.rendering import Cleaner, Lines
from kasbah.kit.doctor.way import Way
from kasbah.kit.http_proxy import ProxyUrlError
from kasbah.kit.secrets import Secret

if TYPE_CHECKING:
    from kasbah.cli.hosts import Host
    from kasbah.cli.terminal import Terminal

_UNKNOWN_KAS = "https://kas.invalid"
"""Stands for kas while the hub has not said where it is; nothing is asked there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked for."""

    agent: str = ""
    """Empty: look as far as kas."""
    project: str = ""
    context: str = ""
    """A context of a kubeconfig, instead of login and agent."""
    kubeconfig: Path | None = None
    namespace: str = ""
    """Empty: the context's own, else `default`."""
    pod: str = ""
    watch_s: float = 5.0


class Examination:
    """One run, from login to cluster."""

    def __init__(self, here: Terminal, host: Host, wanted: Wanted) -> None:
        if wanted.agent and not wanted.project and not wanted.agent.isdigit():
            raise UsageError("an agent's name needs --project; its id does not")
        self._here = here
        self._host = host
        self._wanted = wanted
        self._agent_id = int(wanted.agent) if wanted.agent.isdigit() else 0
        url = urlsplit(host.url)
        way = surroundings.way_to_hub(host, url, here.environ)
        self._hub = HubHops(host, url, way, lambda: here.connect(host))

    def checks(self) -> Iterator[Check]:
        """In order; each is made when those before it are over."""
        yield from self._hub.checks()
        url = urlsplit(self._hub.proxy_url or _UNKNOWN_KAS)
        way = surroundings.way_to_kas(self._host, url, self._here.environ)
        yield from KasHops(url, way).checks("hub.metadata")
        if not self._wanted.agent:
            return
        yield Check(
            name="agent.exists", doing="look the agent up", look=self._find_agent, needs=("hub.token",)
        )
        cluster = _cluster_hops(way, url, self._obtain, self._wanted)
        yield from cluster.checks("kas.refuses", "agent.exists")

    async def _find_agent(self) -> Finding:
        wanted = self._wanted
        if not wanted.project:
            return Finding(
                seen=f"agent {self._agent_id}, taken as given: without --project it is not looked up"
            )
        try:
            agent = await self._hub.call(lambda api: find_agent(api, wanted.project, wanted.agent))
        except NotFoundError as error:
            raise FaultError(
                "agent-not-found", str(error), "look at `kasbah agent list --project PROJECT`; register one"
            ) from error
        self._agent_id = agent["id"]
        return Finding(seen=f"agent {agent['name']} has the id {agent['id']}")

    async def _obtain(self) -> Secret:
        """As kubectl does, by the plugin; a token that may not make another is used itself."""
        if "api" not in self._hub.scopes:
            return Secret(f"pat:{self._agent_id}:{self._host.token.reveal()}")
        options = credential.Options(agent_id=self._agent_id, host_url=self._host.url)
        try:
            made = await asyncio.to_thread(credential.obtain, options, self._here.environ, datetime.now(UTC))
        except NotAllowedError as error:
            raise FaultError("no-credential", str(error), "log in again: `kasbah login`") from error
        return Secret(json.loads(made)["status"]["token"])


class ContextExamination:
    """One run with what a kubeconfig says, and no login: as in a job."""

    def __init__(self, here: Terminal, wanted: Wanted) -> None:
        if wanted.agent or wanted.project:
            raise UsageError("--context says which agent; give no other")
        self._here = here
        self._wanted = wanted
        self._context = context.read(kubeconfig.choose_file(here.environ, wanted.kubeconfig), wanted.context)
        self._url = urlsplit(self._context.server)
        self._way = surroundings.way_of_context(self._context, self._url, here.environ)

    @property
    def secrets(self) -> list[Secret]:
        return [self._context.token]

    def checks(self) -> Iterator[Check]:
        """In order."""
        yield Check(name="kubeconfig", doing="read the kubeconfig", look=self._look_at_context)
        yield from KasHops(self._url, self._way).checks("kubeconfig")
        namespace = self._wanted.namespace or self._context.namespace
        wanted = replace(self._wanted, namespace=namespace)
        yield from _cluster_hops(self._way, self._url, self._obtain, wanted).checks("kas.refuses")

    async def _look_at_context(self) -> Finding:
        plugin = self._context.plugin.get("command", "nothing")
        shows = "a token" if self._context.token else f"what {plugin} prints"
        return Finding(seen=f"the context {self._context.name} of {self._context.file} shows {shows}")

    async def _obtain(self) -> Secret:
        return await context.credential(self._context, self._here.environ)


def _cluster_hops(
    way: Way, url: SplitResult, obtain: Callable[[], Awaitable[Secret]], wanted: Wanted
) -> ClusterHops:
    return ClusterHops(
        way,
        url,
        obtain,
        namespace=wanted.namespace or "default",
        pod=wanted.pod,
        watch_s=wanted.watch_s,
    )


def run(here: Terminal, wanted: Wanted, *, as_json: bool) -> Report:
    """Look at everything, telling it as it happens."""
    secrets = surroundings.proxy_secrets(here.environ)
    try:
        if wanted.context:
            by_context = ContextExamination(here, wanted)
            secrets += by_context.secrets
            checks = by_context.checks()
        else:
            host = here.host()
            secrets.append(host.token)
            checks = Examination(here, host, wanted).checks()
    except UsageError:
        raise
    except UserError as error:
        checks = iter([_unusable(error, "kubeconfig" if wanted.context else "login")])
    clean = Cleaner(secrets)
    lines = _lines(here, clean, as_json=as_json)
    report = asyncio.run(runner.examine(checks, lines))
    if as_json:
        here.say(rendering.render_json(report, clean))
    elif report.first_fault is None:
        lines.summary(report)
    return report


def _lines(here: Terminal, clean: Cleaner, *, as_json: bool) -> Lines:
    stream = here.stderr if as_json else here.stdout

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return Lines(write, clean, terminal=stream.isatty(), quiet=as_json)


def _unusable(error: UserError, name: str) -> Check:
    async def look() -> Finding:
        if isinstance(error, ProxyUrlError):
            raise FaultError("settings-unusable", str(error), "correct the variable: http://host:port")
        if name == "kubeconfig":
            raise FaultError("kubeconfig-unusable", str(error), "see --kubeconfig, KUBECONFIG and --context")
        fault = "not-logged-in" if isinstance(error, NotAllowedError) else "login-unusable"
        advice = "run `kasbah login --url URL`, or set KASBAH_URL and KASBAH_TOKEN_FILE"
        raise FaultError(fault, str(error), advice)

    return Check(name=name, doing=f"read the {name}", look=look)
