"""Offset pagination: which rows a client wants, and the headers that tell it where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

import msgspec

from kasbah.hub.rest.call import Call
from kasbah.hub.rest.parameters import ParametersError
from kasbah.hub.rest.reply import Reply

_LARGEST_PAGE: Final = 100
_DEFAULT_PAGE: Final = 20
_MOST_COUNTED: Final = 10_000
_MOST_SKIPPED: Final = 2**31


class Paginated(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of every list."""

    page: int = 1
    per_page: int = _DEFAULT_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page within bounds."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return min((self.number - 1) * self.size, _MOST_SKIPPED)

    @classmethod
    def of(cls, parameters: Paginated) -> Page:
        """The page asked for, within bounds.

        Raises:
            ParametersError: `per_page` is 0.
        """
        if parameters.per_page == 0:
            raise ParametersError(["per_page has a value not allowed"])
        size = parameters.per_page if parameters.per_page > 0 else _DEFAULT_PAGE
        return cls(number=max(parameters.page, 1), size=min(size, _LARGEST_PAGE))


def page_of(call: Call, page: Page, rows: Sequence[object], total: int) -> Reply:
    """The list with its headers; links name the external address, never the Host header."""
    last = max(1, -(-total // page.size))
    following = page.number + 1 if page.number < last else None
    preceding = page.number - 1 if 1 < page.number <= last + 1 else None
    counted = total <= _MOST_COUNTED
    headers = {
        "X-Next-Page": str(following or ""),
        "X-Page": str(page.number),
        "X-Per-Page": str(page.size),
        "X-Prev-Page": str(preceding or ""),
    }
    targets = {"prev": preceding, "next": following, "first": 1}
    if counted:
        headers |= {"X-Total": str(total), "X-Total-Pages": str(last)}
        targets["last"] = last
    links = [
        f'<{_url(call, number, page.size)}>; rel="{relation}"'
        for relation, number in targets.items()
        if number is not None
    ]
    return Reply(rows, headers={**headers, "Link": ", ".join(links)})


def _url(call: Call, number: int, size: int) -> str:
    raw_path = call.request.scope.get("raw_path") or call.request.url.path.encode()
    query = _query({**call.values, "page": number, "per_page": size})
    return f"{call.site.external_url.rstrip('/')}{raw_path.decode('latin-1')}?{query}"


def _query(values: Mapping[str, object]) -> str:
    """As Rails writes it: sorted, spaces as plus, lists as `name[]`."""
    pairs = []
    for name, value in sorted(values.items()):
        several = isinstance(value, list)
        for one in value if isinstance(value, list) else [value]:
            key = quote_plus(name) + ("%5B%5D" if several else "")
            pairs.append(f"{key}={quote_plus(_text(one))}")
    return "&".join(pairs)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
