"""What the configuration file's values must be beyond their types: GitLab's validation rules, as a table.

Rules look at a section as plain data, so they hold for GitLab's keys and for ours alike, and the reference page
prints them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

Section = Mapping[str, Any]
"""One section as JSON; only keys that were given."""


class Rule(Protocol):
    """One thing that must hold for a key of a section."""

    @property
    def field(self) -> str: ...

    @property
    def text(self) -> str:
        """For the reference page."""

    def broken(self, section: Section) -> str | None:
        """What is wrong, or None."""


@dataclass(frozen=True, slots=True)
class Required:
    """The text must be there and not be empty."""

    field: str
    text: str = "required"

    def broken(self, section: Section) -> str | None:
        if section.get(self.field):
            return None
        return "must not be empty" if self.field in section else "is required"


@dataclass(frozen=True, slots=True)
class NotEmpty:
    """When it is there, the text must not be empty."""

    field: str
    text: str = "not empty"

    def broken(self, section: Section) -> str | None:
        return "must not be empty" if section.get(self.field) == "" else None


@dataclass(frozen=True, slots=True)
class Items:
    """No item is empty, and there are enough of them."""

    field: str
    at_least: int = 0

    @property
    def text(self) -> str:
        return "required, no empty items" if self.at_least else "no empty items"

    def broken(self, section: Section) -> str | None:
        items = section.get(self.field, [])
        if len(items) < self.at_least:
            return f"needs at least {self.at_least} item"
        return "must not hold an empty item" if "" in items else None


@dataclass(frozen=True, slots=True)
class OneOf:
    """The text is one of these words, or empty."""

    field: str
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        return "one of " + ", ".join(self.words)

    def broken(self, section: Section) -> str | None:
        value = section.get(self.field, "")
        return None if value == "" or value in self.words else f"must be one of {', '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Positive:
    """The duration is longer than nothing."""

    field: str
    text: str = "more than 0s"

    def broken(self, section: Section) -> str | None:
        value = section.get(self.field)
        return None if value is None or float(value.removesuffix("s")) > 0 else "must be more than 0s"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the keys is there; that there are not two is the reader's business."""

    keys: tuple[str, ...]
    field: str = ""
    text: str = "exactly one key"

    def broken(self, section: Section) -> str | None:
        if any(key in section for key in self.keys):
            return None
        return f"needs exactly one of {', '.join(self.keys)}, for example `{self.keys[0]}: {{}}`"


_ENTITY: Final[tuple[Rule, ...]] = (Required("id"), Items("environments"))
RULES: Final[Mapping[str, tuple[Rule, ...]]] = {
    "ManifestProjectCF": (
        NotEmpty("id"),
        OneOf("dry_run_strategy", ("none", "client", "server")),
        OneOf("prune_propagation_policy", ("orphan", "background", "foreground")),
        OneOf("inventory_policy", ("must_match", "adopt_if_no_inventory", "adopt_all")),
    ),
    "PathCF": (Required("glob"),),
    "GitRefCF": (
        Choice(("branch", "tag", "commit")),
        NotEmpty("branch"),
        NotEmpty("tag"),
        NotEmpty("commit"),
    ),
    "CiAccessProjectCF": _ENTITY,
    "CiAccessGroupCF": _ENTITY,
    "CiAccessInstanceCF": (Items("environments"),),
    "CiAccessAsCF": (Choice(("agent", "impersonate", "ci_job")),),
    "CiAccessAsImpersonateCF": (Required("username"), Items("groups")),
    "ExtraKeyValCF": (Required("key"), Items("val", at_least=1)),
    "UserAccessAsCF": (Choice(("agent", "user")),),
    "UserAccessProjectCF": (Required("id"),),
    "UserAccessGroupCF": (Required("id"),),
    "ContainerScanningCF": (Required("cadence"),),
    "RemoteDevelopmentCF": (Positive("partial_sync_interval"), Positive("full_sync_interval")),
}
"""By the name of the section's message."""
