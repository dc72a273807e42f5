"""How long it takes until requests pass again, or are told that they will not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

import httpx2

from bench import stack
from bench.errors import BenchError
from bench.nginx import SMALL
from bench.results import Goal, Report, Spread
from sandbox.processes import Processes

RESTART_S: Final = 1.0
STOP_S: Final = 1.0
FROZEN_S: Final = 20.0
AGENT_S: Final = 0.3
_LOOK_EVERY_S: Final = 0.005
_GIVE_UP_S: Final = 60.0


def measure(processes: Processes, *, quick: bool) -> list[Report]:
    """A kas of its own and an agentk on the native tunnel, killed, stopped and frozen."""
    ours = stack.start_before_stand_in(processes)
    rounds = 2 if quick else 5
    lone = stack.start_lone_kas(processes, ours)
    restarts, agents, stops = [], [], []
    for _ in range(rounds):
        restarts.append(_until_passes(lone, lone.restart_kas))
        agents.append(_until_passes(lone, lone.restart_agent))
        stops.append(_time_to_stop(processes, lone))
    frozen = [_time_to_hear_of_frozen_agent(lone) for _ in range(1 if quick else 3)]
    how = f"{rounds} rounds; a kas of its own beside the hub, agentk on the native tunnel. Seconds, median (minimum to maximum)."
    report = Report(title="Recovery", how=how)
    report.goals = [
        _goal("kas killed and started again → first answer", restarts, RESTART_S),
        _goal("agentk started → first answer", agents, AGENT_S),
        _goal("idle kas told to stop → gone", stops, STOP_S),
        _goal("agentk frozen → the client's error", frozen, FROZEN_S),
    ]
    return [report]


def _goal(what: str, seconds: list[float], bound: float) -> Goal:
    return Goal(what=what, value=Spread.of(seconds), bound=bound, unit="s")


def _until_passes(lone: stack.LoneKas, order: Callable[[], float]) -> float:
    """From the moment that `order` names until the next answer."""
    _wait(lone.route.passes)
    began = order()
    _wait(lone.route.passes)
    return time.monotonic() - began


def _time_to_stop(processes: Processes, lone: stack.LoneKas) -> float:
    began = time.monotonic()
    processes.stop(lone.name, signal.SIGTERM)
    took = time.monotonic() - began
    lone.start_kas()
    _wait(lone.route.passes)
    return took


def _time_to_hear_of_frozen_agent(lone: stack.LoneKas) -> float:
    _wait(lone.route.passes)
    agent = lone.route.pids[1]
    os.kill(agent, signal.SIGSTOP)
    began = time.monotonic()
    try:
        with httpx2.Client(trust_env=False, timeout=_GIVE_UP_S) as client:
            status = client.get(lone.route.url(SMALL), headers=dict(lone.route.headers)).status_code
    finally:
        os.kill(agent, signal.SIGCONT)
    if status < httpx2.codes.INTERNAL_SERVER_ERROR:
        raise BenchError(f"a frozen agent answered {status}")
    return time.monotonic() - began


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while not ready():
        if time.monotonic() > deadline:
            raise BenchError(f"no answer within {_GIVE_UP_S:g} s")
        threading.Event().wait(_LOOK_EVERY_S)
