"""What commands say, and how they ask."""

from __future__ import annotations

import io
import json

import pytest

from kasbah.cli.errors import UsageError
from kasbah.cli.terminal import Column, Terminal, text_of
from tests.doubles.typed_terminal import TerminalText

COLUMNS = [Column(title="ID", render=text_of("id")), Column(title="NAME", render=text_of("name"))]
ITEMS = [{"id": 1, "name": "a", "extra": [1]}, {"id": 22, "name": None}]


def terminal(*, typed="", watched=False):
    stdin = TerminalText(typed) if typed else io.StringIO()
    return Terminal(
        environ={}, stdin=stdin, stdout=TerminalText() if watched else io.StringIO(), stderr=io.StringIO()
    )


def test_a_table_in_a_pipe_is_plain_and_aligned():
    here = terminal()

    here.show(ITEMS, "table", COLUMNS)

    assert here.stdout.getvalue() == "ID  NAME\n1   a\n22  -\n"


def test_a_table_at_a_terminal_shows_the_same_cells():
    here = terminal(watched=True)

    here.show([{"id": 1, "name": "[bold]a[/bold]"}], "table", COLUMNS)

    assert "[bold]a[/bold]" in here.stdout.getvalue()


def test_a_name_from_a_stranger_cannot_steer_the_terminal():
    here = terminal()

    here.show({"id": 1, "name": "\x1b[2Jgone\n"}, "table", COLUMNS)

    assert "\x1b" not in here.stdout.getvalue()
    assert here.stdout.getvalue().count("\n") == 2


def test_json_is_the_object_as_it_came():
    here = terminal()

    here.show(ITEMS, "json", COLUMNS)

    assert json.loads(here.stdout.getvalue()) == ITEMS


def test_yaml_keeps_the_order():
    here = terminal()

    here.show(ITEMS[0], "yaml", COLUMNS)

    assert here.stdout.getvalue() == "id: 1\nname: a\nextra:\n- 1\n"


def test_names_come_one_a_line():
    here = terminal()

    here.show(ITEMS, "name", COLUMNS, name="id")

    assert here.stdout.getvalue() == "1\n22\n"


@pytest.mark.parametrize(("value", "cell"), [(True, "yes"), (False, "no"), (["a", "b"], "a, b"), ("", "-")])
def test_a_cell_is_for_people(value, cell):
    here = terminal()

    here.show({"id": value}, "table", COLUMNS[:1])

    assert here.stdout.getvalue().splitlines()[1] == cell


@pytest.mark.parametrize("typed", ["y\n", "YES\n"])
def test_a_deed_is_done_when_the_person_agrees(typed):
    terminal(typed=typed).confirm("delete it", yes=False)


@pytest.mark.parametrize(("typed", "text"), [("\n", "nothing was changed"), ("", "give --yes")])
def test_a_deed_is_not_done_otherwise(typed, text):
    with pytest.raises(UsageError, match=text):
        terminal(typed=typed).confirm("delete it", yes=False)


def test_yes_asks_nobody():
    here = terminal()

    here.confirm("delete it", yes=True)

    assert here.stderr.getvalue() == ""


def test_a_secret_is_asked_of_a_person_only():
    with pytest.raises(UsageError, match="--token-file or --token-stdin"):
        terminal().ask_secret("Token: ")
