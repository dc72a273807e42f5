"""Each behaviour of the Kubernetes API, asked of the API server and through kas by the same person: equal answers.

What must differ, and what differs on purpose, stands in one table of docs/reference/kubernetes-api.md, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.e2e.conformance import catalogue
from tests.e2e.conformance.trial import Case, Outcome

# All run at once beforehand, so the first test waits for more than itself.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "kubernetes-api.md"
CASES = [Case(behaviour=behaviour) for behaviour in catalogue.ALL]
CASES += [Case(behaviour=behaviour, way="grpc") for behaviour in catalogue.ALL if behaviour.grpc]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_answered_alike(case: Case, outcomes: Mapping[Case, Future[Outcome]]):
    outcome = outcomes[case].result()
    if not outcome.good:
        pytest.fail(outcome.told(), pytrace=False)


def test_there_are_enough_behaviours_and_no_two_of_one_name():
    names = [behaviour.name for behaviour in catalogue.ALL]
    assert len(names) == len(set(names)) >= 150
    assert sum(behaviour.grpc for behaviour in catalogue.ALL) >= 30


def test_every_difference_is_stated_once_and_every_statement_is_tried():
    stated = re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE.read_text(), re.MULTILINE)
    tried = {behaviour.difference for behaviour in catalogue.ALL if behaviour.difference}
    assert sorted(stated) == sorted(tried)
    assert all(bool(behaviour.difference) == (behaviour.stated is not None) for behaviour in catalogue.ALL)
