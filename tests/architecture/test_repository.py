"""What may not stand in a committed file, and what a changelog fragment looks like."""

from __future__ import annotations

import re

import pytest

from tests.architecture.sources import ROOT, committed_text

REGISTRIES = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|proxy[.]golang[.]org|sum[.]golang[.]org|crates[.]io|rubygems[.]org"
)
MACHINE_PATHS = re.compile(
    r"(?<![\w.-])/(?:work/(?:main|shared)|root/[.]|home/(?!kasbah)[a-z]+/|tmp/(?:plan|warm|bash))"
)
FRAGMENT = re.compile(r"\d+[.](?:added|changed|fixed|removed|security)(?:[.]\d+)?[.]md")


def test_no_committed_file_names_a_package_registry():
    # Whoever installs decides where from; a mirror must not need a patch.
    found = _lines_with(REGISTRIES)
    assert not found


def test_no_committed_file_names_a_path_of_the_machine_it_was_written_on():
    assert not _lines_with(MACHINE_PATHS)


def test_changelog_fragments_are_named_by_issue_and_kind():
    fragments = (ROOT / "changelog.d").glob("*")
    odd = [path.name for path in fragments if path.name != "README.md" and not FRAGMENT.fullmatch(path.name)]
    assert not odd, "changelog.d/<issue>.<added|changed|fixed|removed|security>[.<n>].md"


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "changelog.d").glob("*.*.md")))
def test_a_changelog_fragment_is_one_sentence_for_users(name: str):
    text = (ROOT / "changelog.d" / name).read_text("utf-8").strip()
    assert text.endswith(".")
    assert "\n\n" not in text
    assert len(text) <= 400


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in committed_text().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
