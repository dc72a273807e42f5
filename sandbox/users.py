"""The made-up people of a cluster: each has a token, kept in the file that kube-apiserver reads when it starts."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ADMIN = "kasbah-sandbox-admin"
_ADMIN_GROUPS = ("system:masters",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody the API server knows by a token."""

    name: str
    groups: tuple[str, ...]
    token: str


class Users:
    """Everybody the API server knows; the administrator is always among them."""

    def __init__(self, file: Path, known: Mapping[str, Sequence[str]]) -> None:
        self.file = file
        self._people: dict[tuple[str, tuple[str, ...]], Person] = {}
        self.admin = self._add(ADMIN, _ADMIN_GROUPS)
        for name, groups in known.items():
            self._add(name, tuple(groups))
        self._write()

    def find(self, name: str, groups: Sequence[str]) -> Person | None:
        return self._people.get((name, tuple(groups)))

    def add(self, name: str, groups: Sequence[str]) -> Person:
        """A new person; the API server knows them from its next start on."""
        person = self._add(name, tuple(groups))
        self._write()
        return person

    def _add(self, name: str, groups: tuple[str, ...]) -> Person:
        person = Person(name=name, groups=groups, token=secrets.token_urlsafe(24))
        self._people[name, groups] = person
        return person

    def _write(self) -> None:
        descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", newline="") as output:
            rows = csv.writer(output, lineterminator="\n")
            for number, person in enumerate(self._people.values()):
                rows.writerow((person.token, person.name, f"uid-{number}", ",".join(person.groups)))
