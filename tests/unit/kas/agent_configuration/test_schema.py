"""Our messages complete GitLab's and never contradict them."""

from __future__ import annotations

from kasbah.kas.agent_configuration import schema
from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2 as gitlab_pb
from kasbah.wire.pb.kasbah.agentcfg import agentcfg_pb2 as kasbah_pb


def test_a_section_knows_gitlabs_keys_and_ours():
    fields = schema.fields_of(gitlab_pb.CiAccessProjectCF.DESCRIPTOR)
    assert list(fields)[:2] == ["id", "default_namespace"]
    assert "protected_branches_only" in fields


def test_no_key_of_ours_is_one_of_gitlabs():
    for name, completion in kasbah_pb.DESCRIPTOR.message_types_by_name.items():
        known = gitlab_pb.DESCRIPTOR.message_types_by_name.get(name)
        if known is not None:
            assert set(known.fields_by_name).isdisjoint(completion.fields_by_name)


def test_messages_of_ours_are_complete_in_themselves():
    assert schema.completion_of(kasbah_pb.CiAccessInstanceCF.DESCRIPTOR) is None


def test_an_optional_key_is_no_choice():
    assert schema.choices_of(gitlab_pb.LoggingCF.DESCRIPTOR) == ()
    assert [choice.name for choice in schema.choices_of(gitlab_pb.CiAccessAsCF.DESCRIPTOR)] == ["as"]
