"""Globs, as doublestar reads them."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kas.gitops.globs import BadGlobError, Glob, is_hidden


@pytest.mark.parametrize(
    ("glob", "meant", "not_meant"),
    [
        ("a.yaml", ["a.yaml"], ["b/a.yaml", "axyaml", "a.yaml/b", "A.yaml"]),
        ("/a.yaml", ["a.yaml"], ["/a.yaml"]),
        ("*.yaml", ["a.yaml", ".yaml", ".hidden.yaml"], ["b/a.yaml", "a.yml"]),
        ("/**/*.{yaml,yml,json}", ["a.yaml", "b/a.yml", "c/b/a.json"], ["a.txt", "a.yaml/b", ".b/a.yaml"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["b", "a/x", "a/bb", "xa/b"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab/c", "b/a/c"]),
        ("**", ["a", "a/b"], [".a/b", "a/.b/c"]),
        ("**/**/a", ["a", "x/a", "x/y/z/a"], ["ab"]),
        ("**/x/**/y", ["x/y", "q/x/y", "q/x/r/s/y", "x/x/y"], ["y", "x/z", "xx/y"]),
        ("**/a/b/**/a/c", ["a/b/a/c", "x/a/a/b/a/a/c"], ["a/b/c", "a/b/a/b"]),
        ("a**b", ["ab", "axb"], ["a/b", "axbx"]),
        ("a*b*c", ["abc", "abbc", "axbxbxc"], ["ab", "acb", "a/b/c"]),
        ("?.y", ["a.y"], [".y", "ab.y", "/.y"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "x", "/x"]),
        ("[!a-c]x", ["dx"], ["ax", "x", "/x"]),
        ("[^a]x", ["bx", "^x"], ["ax"]),
        ("[a\\]]x", ["ax", "]x"], ["bx"]),
        ("[a-]x", ["ax", "-x"], ["bx"]),
        ("[.]x", [".x"], ["ax"]),
        ("\\*.y", ["*.y"], ["a.y"]),
        ("\\{a\\}", ["{a}"], ["a"]),
        ("{a,b/{c,d}}/*.y", ["a/x.y", "b/c/x.y", "b/d/x.y"], ["b/x.y", "{a}/x.y"]),
        ("a{,b}.y", ["a.y", "ab.y"], ["ac.y"]),
        ("a}b", ["a}b"], ["ab"]),
        ("a,b", ["a,b"], ["a"]),
        ("[{,}]x", ["{x", ",x"], ["x"]),
        ("a+(b).y$", ["a+(b).y$"], ["aab.y"]),
        (".a/*", [], [".a/b"]),
        ("\u00e4/*.y", ["\u00e4/\u00fc.y"], ["a/u.y"]),
        ("../*", [], ["a", "../a"]),
        ("a//b", [], ["a/b"]),
    ],
)
def test_a_glob_means_these_paths_and_not_those(glob, meant, not_meant):
    parsed = Glob.parse(glob)
    assert [path for path in meant if not parsed.means(path)] == []
    assert [path for path in not_meant if parsed.means(path)] == []


@pytest.mark.parametrize(
    "glob",
    ["[", "[a", "[]", "[^]", "a[b/", "{", "{a", "{a,{b}", "a\\", "[z-a]", "{1,2}" * 6, "{" + "a," * 40 + "}"],
)
def test_what_is_no_glob_is_refused(glob):
    with pytest.raises(BadGlobError, match="bad glob"):
        Glob.parse(glob)


@pytest.mark.parametrize(
    ("glob", "directory", "depth"),
    [
        ("a.yaml", "", 1),
        ("**/*.yaml", "", None),
        ("a/b/*.yaml", "a/b", 1),
        ("a/b/*/c/*.yaml", "a/b", 3),
        ("a/**/b", "a", None),
        ("a/{b,c}/*.yaml", "a", 2),
        ("{a,b/c}/*.yaml", "", 3),
        ("{a,**}/x", "", None),
        ("a\\*/b", "", 2),
    ],
)
def test_a_glob_says_where_to_look_and_how_deep(glob, directory, depth):
    parsed = Glob.parse(glob)
    assert (parsed.directory, parsed.depth) == (directory, depth)


def test_hidden_is_what_lies_in_a_directory_that_begins_with_a_dot():
    hidden = [path for path in (".a", "a/.b", ".a/b", "a/.b/c", "a/b.c/d") if is_hidden(path)]
    assert hidden == [".a/b", "a/.b/c"]


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("*a" * 100 + "b", "a" * 1000),
        ("?*" * 100 + "b", "a" * 1000),
        ("**/*a*/" * 30 + "b", "aaaa/" * 60 + "a"),
        ("**/" * 60 + "b", "a/" * 200 + "a"),
    ],
)
def test_a_hostile_glob_costs_little(glob, path):
    began = time.perf_counter()
    assert not Glob.parse(glob).means(path)
    assert time.perf_counter() - began < 0.5


_PIECES = st.sampled_from(["a", "b", "*", "**", "?", "/", "/", "[ab]", "{a,b}", "."])


def _plainly(pattern: list[str], path: list[str]) -> bool:
    """The meaning of a pattern without braces, by trying everything."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(_plainly(pattern[1:], path[at:]) for at in range(len(path) + 1))
    return bool(path) and _segment(pattern[0], path[0]) and _plainly(pattern[1:], path[1:])


def _segment(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_segment(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and _segment(pattern[1:], text[1:])


@given(
    pattern=st.lists(st.text("ab*?", min_size=1, max_size=4), min_size=1, max_size=5),
    path=st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=6),
)
def test_never_trying_again_loses_nothing(pattern, path):
    assert Glob.parse("/".join(pattern)).means("/".join(path)) == _plainly(pattern, path)


@given(pieces=st.lists(_PIECES, max_size=12), path=st.text("ab./"))
def test_any_pattern_is_read_or_refused(pieces, path):
    with contextlib.suppress(BadGlobError):
        Glob.parse("".join(pieces)).means(path)
