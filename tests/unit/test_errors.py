"""Errors say whose fault it was."""

from __future__ import annotations

from kasbah.errors import Bug, KasbahError, PeerError, UserError


def test_the_message_defaults_to_the_general_sentence():
    assert str(UserError()) == "A person's input cannot be used; nothing was changed."


def test_a_peers_failure_says_whether_trying_again_helps():
    assert PeerError("away", retryable=True).retryable
    assert not PeerError("refused").retryable


def test_all_errors_have_one_root():
    assert all(issubclass(root, KasbahError) for root in (UserError, PeerError, Bug))
