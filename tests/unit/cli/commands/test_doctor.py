from __future__ import annotations

import json

import pytest

from tests.doubles.typed_terminal import TypedTerminal


@pytest.fixture
def stranger(kasbah: TypedTerminal) -> TypedTerminal:
    kasbah.logged_in = False
    return kasbah


def test_a_fault_ends_with_1_and_names_the_hop(stranger: TypedTerminal):
    assert stranger("doctor") == 1
    assert stranger.out.startswith("FAIL  login")
    assert stranger.err == "kasbah: the first hop that fails is login (not-logged-in)\n"


def test_machines_get_one_object(stranger: TypedTerminal):
    assert stranger("doctor", "-o", "json") == 1
    assert json.loads(stranger.out)["well"] is False


@pytest.mark.parametrize(
    "arguments", [["--watch", "0s"], ["--watch", "soon"], ["prod"], ["--output", "yaml"]]
)
def test_wrong_usage_ends_with_2(kasbah: TypedTerminal, arguments: list[str]):
    assert kasbah("doctor", *arguments) == 2
    assert kasbah.out == ""


def test_a_wrong_duration_is_told_with_its_flag(kasbah: TypedTerminal):
    assert kasbah("doctor", "--watch", "soon") == 2
    assert "--watch: 'soon' is not a duration" in kasbah.err


def test_help_teaches(kasbah: TypedTerminal, capsys: pytest.CaptureFixture[str]):
    assert kasbah("doctor", "--help") == 0
    assert "Exit codes: 0 all is well" in capsys.readouterr().out
