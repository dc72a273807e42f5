from __future__ import annotations

from dataclasses import replace

from tests.doubles.people import access_of_mia


def test_a_person_is_counted_apart_from_their_jobs():
    person = access_of_mia()
    assert person.principal == "user:4"
    assert replace(person, access_type="ci_job", job_id=9).principal == "ci_user:4"
