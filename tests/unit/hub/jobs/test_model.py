"""What may be asked for, and how long a token lives."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kasbah.hub.jobs.model import LONGEST_LIFE_S, Job, NewJob
from tests.doubles.hub_services import START


def job(**changes) -> Job:
    values = {
        "id": 9,
        "project_id": 1,
        "user_id": 2,
        "ref": "refs/heads/main",
        "protected": True,
        "pipeline_id": 9,
        "environment": None,
        "status": "running",
        "created_at": START,
        "expires_at": START + timedelta(hours=1),
        "finished_at": None,
    }
    return Job(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "after_s", "state"),
    [
        ({}, 0, "running"),
        ({}, 3599, "running"),
        ({}, 3600, "expired"),
        ({"status": "finished"}, 0, "finished"),
        ({"status": "finished"}, 3600, "finished"),
    ],
)
def test_a_job_runs_until_it_is_finished_or_its_time_is_over(changes, after_s, state):
    assert job(**changes).state(START + timedelta(seconds=after_s)) == state


def test_a_ref_has_a_short_form():
    assert (job().short_ref, job().is_tag) == ("main", False)
    tag = job(ref="refs/tags/v1/a")
    assert (tag.short_ref, tag.is_tag) == ("v1/a", True)


@pytest.mark.parametrize(
    "new",
    [
        NewJob(ref="refs/heads/feature/x"),
        NewJob(ref="refs/tags/v1.2"),
        NewJob(ref="refs/heads/main", environment="review/x", tier="testing", pipeline_id=1),
        NewJob(ref="refs/heads/main", lifetime=timedelta(seconds=LONGEST_LIFE_S)),
    ],
)
def test_what_makes_sense_is_taken(new):
    assert new.problems() == []


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (NewJob(ref="main"), "Ref must be"),
        (NewJob(ref="refs/heads/"), "Ref must be"),
        (NewJob(ref="refs/heads/a..b"), "Ref must be"),
        (NewJob(ref="refs/merge-requests/1/head"), "Ref must be"),
        (NewJob(ref="refs/heads/" + "a" * 245), "Ref must be"),
        (NewJob(ref="refs/heads/m", environment=""), "Environment can't be blank"),
        (NewJob(ref="refs/heads/m", tier="other"), "Tier cannot"),
        (NewJob(ref="refs/heads/m", pipeline_id=0), "Pipeline must"),
        (NewJob(ref="refs/heads/m", pipeline_id=2**63), "Pipeline must"),
        (NewJob(ref="refs/heads/m", lifetime=timedelta(seconds=59)), "Expires in"),
        (NewJob(ref="refs/heads/m", lifetime=timedelta(days=2)), "Expires in"),
    ],
)
def test_what_does_not_is_told(new, problem):
    assert [text.startswith(problem) for text in new.problems()] == [True]
