"""The rules git works under."""

from __future__ import annotations

import configparser
from pathlib import Path

from kasbah.gitrepo.configuration import HIDDEN_REFS, configuration, environment, render_file
from kasbah.gitrepo.settings import GitSettings

SETTINGS = GitSettings(max_push_bytes=12345)
REPOSITORY = Path("/srv/007/7.git")


def test_nothing_of_our_own_environment_is_passed_on():
    values = environment(SETTINGS, REPOSITORY)
    ours = {"PATH", "HOME", "LC_ALL"}
    assert all(name in ours or name.startswith("GIT_") for name in values)
    assert values["GIT_CONFIG_NOSYSTEM"] == "1"
    assert values["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert values["GIT_NO_REPLACE_OBJECTS"] == "1"
    assert "GIT_PROTOCOL" not in values


def test_the_configuration_is_in_the_environment_and_complete():
    values = environment(SETTINGS, REPOSITORY, protocol="version=2")
    count = int(values["GIT_CONFIG_COUNT"])
    entries = [(values[f"GIT_CONFIG_KEY_{n}"], values[f"GIT_CONFIG_VALUE_{n}"]) for n in range(count)]
    assert entries == [*configuration(SETTINGS), ("safe.directory", str(REPOSITORY))]
    assert values["GIT_PROTOCOL"] == "version=2"


def test_the_settings_that_guard_are_there():
    entries = dict(configuration(SETTINGS))
    assert entries["receive.maxInputSize"] == "12345"
    assert entries["core.fsync"] == "all"
    assert entries["receive.fsckObjects"] == entries["transfer.fsckObjects"] == "true"
    assert entries["core.hooksPath"] == "/dev/null"
    assert entries["protocol.allow"] == "never"
    assert entries["uploadpack.allowAnySHA1InWant"] == "false"


def test_reachable_commits_are_allowed_after_any_was_denied():
    keys = [key for key, _ in configuration(SETTINGS)]
    assert keys.index("uploadpack.allowAnySHA1InWant") < keys.index("uploadpack.allowReachableSHA1InWant")


def test_the_file_of_a_new_repository_says_the_same():
    reader = configparser.ConfigParser(strict=False)
    reader.read_string(render_file(SETTINGS).replace("\t", ""))
    assert reader["core"]["bare"] == "true"
    assert reader["receive"]["maxinputsize"] == "12345"
    assert reader["transfer"]["hiderefs"] == HIDDEN_REFS[-1]
