"""What is read, what is refused, and where the fault is said to be."""

from __future__ import annotations

import contextlib
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kasbah.kit import strict_yaml
from kasbah.kit.strict_yaml import Limits, YamlError

GOOD = [
    ("", None),
    ("# nothing\n", None),
    ("---\n", None),
    ("a: 1\nb: [x, 'on', on, ~]\n", {"a": 1, "b": ["x", "on", True, None]}),
    ('{"a": {"b": [1.5, "x"]}}', {"a": {"b": [1.5, "x"]}}),
    ("\ufeffa: 1", {"a": 1}),
    ("on: 1\n2: x\n1.5: z\n", {"true": 1, "2": "x", "1.5": "z"}),
    ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
    ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
    ("a: &x 1\nb: [*x, *x]\n", {"a": 1, "b": [1, 1]}),
    ("x: &x {a: 1, b: 1}\nz: {<<: *x, b: 2}\n", {"x": {"a": 1, "b": 1}, "z": {"a": 1, "b": 2}}),
    ("<<: [{a: 1}, {a: 2, b: 2}]\n", {"a": 1, "b": 2}),
    ("'<<': 1\n", {"<<": 1}),
    ("a: !!str 1\nb: !!int 1\nc: !!map {}\nd: ! x\n", {"a": "1", "b": 1, "c": {}, "d": "x"}),
]
BAD = [
    ("a: 1\na: 2\n", "line 2, column 1: the key a is there twice"),
    ("{a: 1,\n 'a': 2}", "line 2, column 2: the key a is there twice"),
    ("on: 1\ntrue: 2\n", "line 2, column 1: the key true is there twice"),
    ("a: !x 1", "line 1, column 4: the tag !x is not allowed"),
    ("a: !!binary aGk=", "line 1, column 4: the tag tag:yaml.org,2002:binary is not allowed"),
    ("a: !!python/object/apply:os.system [ls]", "is not allowed"),
    ("a: !!int x", "line 1, column 4: x is not what its tag says"),
    ("a: !!set {b}", "is not allowed"),
    ("a: .nan", "line 1, column 4: .nan is not a number that JSON knows"),
    ("~: 1", "line 1, column 1: a key must be a word or a number"),
    ("[a]: 1", "line 1, column 1: a key must be a word or a number"),
    ("? {a: 1}\n: 2", "line 1, column 3: a key must be a word or a number"),
    ("a: &x [*x]", "line 1, column 8: the alias *x stands for nothing that is complete"),
    ("a: *x", "line 1, column 4: the alias *x stands for nothing"),
    ("<<: 1", "line 1, column 5: << takes a mapping"),
    ("<<: {a: 1}\n<<: {b: 1}", "line 2, column 1: the key << is there twice"),
    ("a: b: c", "line 1, column 5: mapping values are not allowed in this context"),
    ("a: [1", "line 2, column 1: did not find expected"),
    ("a:\n\t- 1", "line 2, column 1: found character that cannot start any token"),
    ("a: '\x01'", "control characters are not allowed"),
    ("a: 1\n---\nb: 1\n", "2 documents; only one is expected"),
]


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_a_document_is_read_as_kubectl_reads_it(text: str, expected: object):
    assert strict_yaml.read(text.encode()) == expected


@pytest.mark.parametrize(("text", "message"), BAD)
def test_what_is_doubtful_is_refused_with_its_place(text: str, message: str):
    with pytest.raises(YamlError) as caught:
        strict_yaml.read(text.encode())
    assert message in str(caught.value)


def test_bytes_that_are_not_utf_8_are_refused_with_their_place():
    with pytest.raises(YamlError, match="line 2, column 4: this is not UTF-8"):
        strict_yaml.read(b"a: 1\nb: \xff\n")


def test_several_documents_are_read_in_order_and_anchors_end_with_theirs():
    assert strict_yaml.read_all(b"a: &x 1\n---\n---\n- 2\n") == [{"a": 1}, None, [2]]
    with pytest.raises(YamlError, match="stands for nothing"):
        strict_yaml.read_all(b"a: &x 1\n---\nb: *x\n")


@pytest.mark.parametrize("opening", ["[", "- ", "{a: ", "? ", "[{a: "])
def test_a_hundred_thousand_levels_are_refused_at_the_first_excess(opening: str):
    tracemalloc.start()
    try:
        with pytest.raises(YamlError, match=r"nested deeper than 100 levels|a key must be"):
            strict_yaml.read((opening * 100_000).encode())
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_ten_megabytes_are_refused_unread():
    with pytest.raises(YamlError, match="10000000 bytes; at most 1048576 are taken"):
        strict_yaml.read(b"a" * 10_000_000)


def test_a_bomb_of_aliases_goes_off_in_the_counter():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(YamlError, match="more than 200000 values"):
        strict_yaml.read("\n".join(lines).encode())


@pytest.mark.parametrize(
    ("text", "limits", "message"),
    [
        ("[1, 2, 3]", Limits(max_nodes=3), "more than 3 values"),
        ("[&a 1, &b 2]", Limits(max_anchors=1), "more than 1 anchors"),
        ("--- 1\n--- 2\n", Limits(max_documents=1), "more than 1 documents"),
        (
            "[&a ü, *a, \n*a]",
            Limits(max_alias_bytes=3),
            "line 2, column 1: aliases stand for more than 3 bytes",
        ),
        ("[&a {kk: [v]},\n*a]", Limits(max_alias_bytes=2), "line 2, column 1: aliases stand for more than 2"),
        ("a: &a v\nb: &b [*a, *a]\nc: *b", Limits(max_alias_bytes=3), "line 3, column 4: aliases stand for"),
        ("a: &a {k: vv}\nb:\n  <<: *a", Limits(max_alias_bytes=2), "line 3, column 7: aliases stand for"),
        ("<<: [{}, {}]", Limits(max_merge_sources=1), "at most 1 mappings"),
        ("[[[]]]", Limits(max_depth=2), "line 1, column 3: nested deeper than 2 levels"),
    ],
)
def test_every_limit_is_enforced(text: str, limits: Limits, message: str):
    with pytest.raises(YamlError, match=message):
        strict_yaml.read_all(text.encode(), limits)


def test_one_long_word_behind_many_aliases_is_refused_in_its_place():
    text = f'- &a "{"z" * 30_000}"\n' + "- *a\n" * 8_000
    with pytest.raises(YamlError, match="line 36, column 3: aliases stand for more than 1048576 bytes"):
        strict_yaml.read(text.encode())


def test_as_many_bytes_as_are_allowed_may_stand_behind_aliases():
    assert strict_yaml.read("[&a ü, *a, &b {k: v}, *b]".encode(), Limits(max_alias_bytes=4)) == [
        "ü",
        "ü",
        {"k": "v"},
        {"k": "v"},
    ]


def test_a_text_from_a_stranger_is_shown_shortened_and_printable():
    with pytest.raises(YamlError) as caught:
        strict_yaml.read(f"{'k' * 900}: 1\n{'k' * 900}: 2\n".encode())
    assert len(str(caught.value)) < 150


LETTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
"""libyaml, like Go's library, does not take JSON's escaped surrogate pairs."""
TEXT = st.text(LETTERS)
KEY = st.text(LETTERS, max_size=150)
"""Nor does it take a key that is written with over 1024 characters."""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_json_is_read_as_json(value: object):
    assert strict_yaml.read(json.dumps(value).encode()) == value


@given(st.text(alphabet="ab:-[]{}&*!?|>#'\"\n <~01,", max_size=40))
def test_any_text_is_read_or_refused(text: str):
    with contextlib.suppress(YamlError):
        json.dumps(strict_yaml.read(text.encode()), allow_nan=False)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(text: bytes):
    with contextlib.suppress(YamlError):
        strict_yaml.read_all(text)


SHARING = """\
base: &base
  instance: {}
ci_access:
  <<: *base
  projects:
    - id: a
    -
      id: b
    - {id: c, p: 1,
       q: 2}
  groups: [id: d, id: e,
           *base]
"""


def test_every_entry_is_found_on_its_line():
    document, lines = strict_yaml.read_with_lines(SHARING.encode())
    assert document == strict_yaml.read(SHARING.encode())
    section = document["ci_access"]
    assert [lines.of(document, key) for key in document] == [1, 3]
    assert [lines.of(section, key) for key in ("projects", "groups", "instance")] == [5, 11, 2]
    assert [lines.of(section["projects"], index) for index in range(4)] == [6, 8, 9, 0]
    assert lines.of(section["projects"][2], "q") == 10
    assert [lines.of(section["groups"], index) for index in range(3)] == [11, 11, 12]
    assert lines.of({"projects": []}, "projects") == 0


def test_of_merged_keys_the_line_is_that_of_the_value_that_counts():
    text = b"a: &a\n  p: 1\n  q: 1\nb: &b\n  q: 2\nc:\n  p: 3\n  <<: [*b, *a]\n"
    document, lines = strict_yaml.read_with_lines(text)
    assert document["c"] == {"p": 3, "q": 2}
    assert [lines.of(document["c"], key) for key in ("p", "q")] == [7, 5]


def test_an_empty_text_has_no_entries():
    document, lines = strict_yaml.read_with_lines(b"")
    assert document is None
    assert lines.of(document, "x") == 0
