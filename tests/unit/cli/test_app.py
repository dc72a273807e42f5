"""The tree of commands holds together, and every failure is one line and an exit code."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(kasbah, shell):
    assert kasbah("completion", shell) == 0
    assert "update-kubeconfig" in kasbah.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["agent", "list"],
        ["agent", "list", "--project"],
        ["agent", "get", "x", "--project", "p", "-o", "xml"],
        ["token", "revoke", "abc"],
        ["up", "--nonsense"],
    ],
)
def test_wrong_usage_is_one_line_that_points_to_help(kasbah, arguments):
    assert kasbah(*arguments) == 2
    assert kasbah.err.startswith("kasbah: ")
    assert kasbah.err.count("\n") == 1
    assert "--help`)" in kasbah.err


@pytest.mark.parametrize(
    ("token", "arguments", "code"),
    [
        ("glpat-good", ["project", "get", "nix"], 3),
        ("glpat-bad", ["whoami"], 4),
        ("", ["whoami"], 4),
    ],
)
def test_failures_have_exit_codes_of_their_own(kasbah, token, arguments, code):
    kasbah.environ = {"KASBAH_TOKEN": token}

    assert kasbah(*arguments) == code
    assert "Traceback" not in kasbah.err
    assert "glpat" not in kasbah.err


@pytest.mark.parametrize("token", ["glpät", "glpat-a\nb", "x" * 100_000])
def test_a_token_that_fits_no_header_is_one_line(kasbah, token):
    kasbah.environ = {"KASBAH_TOKEN": token}

    assert kasbah("whoami") == 1
    assert kasbah.err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_one_line(kasbah, tmp_path):
    (tmp_path / ".config").write_text("")

    assert kasbah("logout") == 1
    assert kasbah.err.count("\n") == 1
