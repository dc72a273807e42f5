"""The documentation is whole: links lead somewhere, and everything a person can set, watch or type has its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.architecture.sources import ROOT, committed_text

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PAGE_NAME = re.compile(r"[\w./-]*\w[.]md\b")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def test_links_between_pages_lead_somewhere():
    pages = committed_text(".md")
    broken = [
        f"{page}: {target}"
        for page, text in pages.items()
        for target in LINK.findall(FENCE.sub("", text))
        if not re.match(r"[a-z]+:", target) and not _resolves(ROOT / page, target)
    ]
    assert not broken


def test_source_cites_only_pages_of_this_repository():
    pages = {Path(name).name for name in committed_text(".md")}
    cited = [
        f"{name}: {page}"
        for name, text in committed_text(".py", ".proto", ".toml").items()
        for page in PAGE_NAME.findall(text)
        if Path(page).name not in pages
    ]
    assert not cited, (
        "a reader has this repository and nothing else: say it here, or cite a published standard"
    )


def test_generated_reference_pages_are_what_the_source_says():
    check = subprocess.run(
        [sys.executable, ROOT / "tools" / "gen_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr


def _resolves(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    return not anchor or file.suffix != ".md" or anchor in _anchors(file.read_text("utf-8"))


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
