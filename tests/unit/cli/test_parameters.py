"""Shared parameters mean the same in every command."""

from __future__ import annotations

import pytest

NOUNS = [
    ["agent", "list", "--project", "31"],
    ["project", "list"],
    ["group", "list"],
    ["user", "list"],
    ["token", "list"],
]


@pytest.mark.parametrize("command", NOUNS, ids=lambda command: command[0])
@pytest.mark.parametrize("output", ["table", "json", "yaml", "name"])
def test_every_list_has_every_output(kasbah, command, output):
    kasbah.gitlab.add_agent("prod")

    assert kasbah(*command, "-o", output) == 0


def test_help_shows_only_defaults_that_say_something(kasbah, capsys):
    assert kasbah("token", "create", "--help") == 0

    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "[default: k8s_proxy]" in shown
    assert '[default: ""]' not in shown
    assert "[default: False]" not in shown
