"""The list of people the API server reads."""

from __future__ import annotations

import csv
from pathlib import Path

from sandbox.users import ADMIN, Users


def _rows(users: Users) -> dict[str, list[str]]:
    return {row[1]: row for row in csv.reader(users.file.read_text().splitlines())}


def test_the_administrator_is_always_there(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.csv", {})
    assert _rows(users)[ADMIN][3] == "system:masters"


def test_a_later_person_is_written_down_with_all_groups(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.csv", {"ada": ["dev"]})
    users.add("bob", ["dev", "ops"])
    assert _rows(users)["bob"][3] == "dev,ops"
    assert _rows(users)["ada"][3] == "dev"


def test_one_name_with_other_groups_is_another_person(tmp_path: Path) -> None:
    users = Users(tmp_path / "users.csv", {"ada": ["dev"]})
    assert users.find("ada", ["dev"]) is not None
    assert users.find("ada", []) is None


def test_no_two_people_share_a_token_or_a_uid(tmp_path: Path) -> None:
    rows = _rows(Users(tmp_path / "users.csv", {"ada": [], "bob": []}))
    assert len({row[0] for row in rows.values()}) == len({row[2] for row in rows.values()}) == 3


def test_the_tokens_are_nobody_elses_to_read(tmp_path: Path) -> None:
    assert Users(tmp_path / "users.csv", {}).file.stat().st_mode & 0o777 == 0o600
