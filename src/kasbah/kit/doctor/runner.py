"""Takes the looks one after the other, each with its time limit, and leaves out what a fault before makes pointless."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

from kasbah.errors import KasbahError
from kasbah.kit.doctor.check import Check, FaultError, Finding, Report, Result, Verdict

_BROKEN: Final = frozenset({Verdict.FAULT, Verdict.SKIPPED})


class Audience(Protocol):
    """Whoever is told while it happens."""

    def begins(self, check: Check) -> None: ...

    def ended(self, result: Result) -> None: ...


async def examine(checks: Iterable[Check], audience: Audience) -> Report:
    """Take every look whose needs are met; never raises because of what one of them met."""
    results: dict[str, Result] = {}
    for check in checks:
        broken = next((need for need in check.needs if results[need].verdict in _BROKEN), "")
        if broken:
            result = _skipped(check, broken)
        else:
            audience.begins(check)
            result = await _taken(check)
        results[check.name] = result
        audience.ended(result)
    return Report(tuple(results.values()))


def _skipped(check: Check, broken: str) -> Result:
    return Result(name=check.name, doing=check.doing, verdict=Verdict.SKIPPED, seen=f"needs {broken}")


async def _taken(check: Check) -> Result:
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await _outcome(check)
    took_s = loop.time() - began
    if isinstance(outcome, Finding):
        return Result(
            name=check.name,
            doing=check.doing,
            verdict=Verdict.WARNING if outcome.warning else Verdict.OK,
            seen=outcome.seen,
            fault=outcome.warning,
            advice=outcome.advice,
            details=outcome.details,
            took_s=took_s,
        )
    return Result(
        name=check.name,
        doing=check.doing,
        verdict=Verdict.FAULT,
        seen=str(outcome),
        fault=outcome.fault,
        advice=outcome.advice,
        details=outcome.details,
        took_s=took_s,
    )


async def _outcome(check: Check) -> Finding | FaultError:
    limit = asyncio.timeout(check.limit_s)
    try:
        async with limit:
            return await check.look()
    except FaultError as fault:
        return fault
    except TimeoutError as error:
        if not limit.expired():
            return FaultError("failed", f"gave up: {str(error) or 'no answer in time'}", "")
        return FaultError(
            "no-end", f"no end within {check.limit_s:g} s", "look at the load of the far end, and try again"
        )
    except (KasbahError, OSError) as error:
        return FaultError("failed", str(error) or type(error).__name__, "")
    except Exception as error:  # noqa: BLE001 - one look that crashes must not hide what the others see
        return FaultError("bug", f"{type(error).__name__}: {error}", "this is a bug of the doctor: report it")
