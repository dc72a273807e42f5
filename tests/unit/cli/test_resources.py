"""The fields we read are required, and those only newer hosts send are not."""

from __future__ import annotations

import msgspec
import pytest

from kasbah.cli.resources import Agent, Metadata


def test_a_gitlab_before_17_6_names_no_proxy():
    kas = {"enabled": True, "externalUrl": "wss://kas.example.org"}

    assert msgspec.convert({"version": "16.5.0", "kas": kas}, Metadata)["kas"] == kas


def test_an_agent_without_its_project_is_none():
    with pytest.raises(msgspec.ValidationError, match="config_project"):
        msgspec.convert({"id": 7, "name": "prod", "created_at": ""}, Agent)
