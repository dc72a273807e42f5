"""The rules belong to sections and keys that exist."""

from __future__ import annotations

import pytest

from kasbah.kas.agent_configuration import rules, schema
from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2 as gitlab_pb
from kasbah.wire.pb.kasbah.agentcfg import agentcfg_pb2 as kasbah_pb

SECTIONS = {
    **kasbah_pb.DESCRIPTOR.message_types_by_name,
    **gitlab_pb.DESCRIPTOR.message_types_by_name,
}


@pytest.mark.parametrize("section", rules.RULES)
def test_a_rule_is_about_a_key_that_exists(section: str):
    known = schema.fields_of(SECTIONS[section])
    for rule in rules.RULES[section]:
        keys = rule.keys if isinstance(rule, rules.Choice) else [rule.field]
        assert set(keys) <= known.keys()
        assert rule.text


@pytest.mark.parametrize(
    ("rule", "section", "problem"),
    [
        (rules.Required("a"), {"a": "x"}, None),
        (rules.Required("a"), {"a": ""}, "must not be empty"),
        (rules.Required("a"), {}, "is required"),
        (rules.NotEmpty("a"), {}, None),
        (rules.NotEmpty("a"), {"a": ""}, "must not be empty"),
        (rules.Items("a"), {}, None),
        (rules.Items("a"), {"a": ["x", ""]}, "must not hold an empty item"),
        (rules.Items("a", at_least=1), {"a": []}, "needs at least 1 item"),
        (rules.OneOf("a", ("x", "y")), {"a": ""}, None),
        (rules.OneOf("a", ("x", "y")), {"a": "z"}, "must be one of x, y"),
        (rules.Positive("a"), {}, None),
        (rules.Positive("a"), {"a": "0.5s"}, None),
        (rules.Positive("a"), {"a": "-1s"}, "must be more than 0s"),
        (rules.Choice(("a", "b")), {"b": {}}, None),
        (rules.Choice(("a", "b")), {}, "needs exactly one of a, b, for example `a: {}`"),
    ],
)
def test_a_rule_holds_or_says_what_is_wrong(rule: rules.Rule, section: rules.Section, problem: str | None):
    assert rule.broken(section) == problem
