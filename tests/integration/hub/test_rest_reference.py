"""The reference page names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from kasbah.hub.app import _areas, _routes
from kasbah.hub.clock import utc_now
from tests.integration.hub.conftest import settings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rest-api.md"


def test_the_page_names_every_route_and_no_other(tmp_path: Path):
    answered = {
        f"{route.method} {route.path}" for route in _routes(_areas(settings(tmp_path), utc_now), utc_now)
    }
    written = set(re.findall(r"^\| `([A-Z]+ [^`]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert written == answered
