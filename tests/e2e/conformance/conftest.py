"""Runs the chosen behaviours beforehand and in parallel; each test then looks at the result of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

import sandbox
from tests.e2e.conformance.lab import laboratory
from tests.e2e.conformance.trial import Case, Outcome, try_out

_AT_ONCE = 6
_RESULTS: pytest.StashKey[list[Outcome]] = pytest.StashKey()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the clients now: the first time takes minutes, and a test's time limit is one."""
    if _cases(session) and not session.config.option.collectonly and sandbox.why_not("kwok") is None:
        capture = session.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            sandbox.prepare("kwok")
            sandbox.clients()


@pytest.fixture(scope="session")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Case, Future[Outcome]]]:
    """What becomes of each case."""
    reason = sandbox.why_not("kwok")
    if reason is not None:
        pytest.skip(reason)
    cases = sorted(_cases(request.session), key=lambda case: not case.behaviour.slow)
    kept = request.config.stash[_RESULTS] = []
    with laboratory(tmp_path_factory.mktemp("conformance")) as lab, ThreadPoolExecutor(_AT_ONCE) as pool:

        def run(number: int, case: Case) -> Outcome:
            outcome = try_out(lab, number, case)
            kept.append(outcome)
            return outcome

        yield {case: pool.submit(run, number, case) for number, case in enumerate(cases, 1)}
        pool.shutdown(cancel_futures=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """How many behaviours there were, and how they came out."""
    results = config.stash.get(_RESULTS, [])
    if results:
        terminalreporter.section("conformance")
        terminalreporter.line(_summary(results))


def _summary(results: list[Outcome]) -> str:
    equal = sum(outcome.equal for outcome in results)
    stated = sum(outcome.good and not outcome.equal for outcome in results)
    bad = sum(not outcome.good for outcome in results)
    names = len({outcome.case.behaviour.name for outcome in results})
    grpc = sum(outcome.case.way == "grpc" for outcome in results)
    return (
        f"{names} behaviours, {len(results)} comparisons ({grpc} of them over gRPC): "
        f"{equal} equal, {stated} with a stated difference, {bad} with another one"
    )


def _cases(session: pytest.Session) -> list[Case]:
    """Those that were chosen to run."""
    calls = [getattr(item, "callspec", None) for item in session.items]
    return [call.params["case"] for call in calls if call and isinstance(call.params.get("case"), Case)]
