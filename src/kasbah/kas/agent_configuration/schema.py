"""Which keys the configuration file knows: the fields of GitLab's messages, and documented ones we have no number for.

A message of package `kasbah.agentcfg` completes the one of the same name in `gitlab.agent.agentcfg`
(proto/kasbah/agentcfg says why). Nothing here knows a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, cast

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, OneofDescriptor

from kasbah.wire.pb.gitlab.agent.agentcfg import agentcfg_pb2 as gitlab_pb
from kasbah.wire.pb.kasbah.agentcfg import agentcfg_pb2 as kasbah_pb

FILE: Final[Descriptor] = gitlab_pb.ConfigurationFile.DESCRIPTOR
DURATION: Final = "google.protobuf.Duration"


def completion_of(descriptor: Descriptor) -> Descriptor | None:
    """The message of ours that completes this one of GitLab's."""
    if descriptor.file is not gitlab_pb.DESCRIPTOR:
        return None
    completion: Descriptor | None = kasbah_pb.DESCRIPTOR.message_types_by_name.get(descriptor.name)
    return completion


@cache
def fields_of(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """The keys of a section, GitLab's first."""
    completion = completion_of(descriptor)
    fields = [*descriptor.fields, *(completion.fields if completion else ())]
    return {field.name: field for field in fields}


@cache
def choices_of(descriptor: Descriptor) -> tuple[OneofDescriptor, ...]:
    """The sets of keys of which one at most may be given; `optional` is none of them."""
    return tuple(oneof for oneof in descriptor.oneofs if not oneof.name.startswith("_"))


def is_message(field: FieldDescriptor) -> bool:
    """Whether the value is a section of its own."""
    return field.message_type is not None and field.message_type.full_name != DURATION


def is_map(field: FieldDescriptor) -> bool:
    """Whether the value is a mapping with free keys."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def map_value(field: FieldDescriptor) -> FieldDescriptor:
    """What the values of a mapping with free keys must be."""
    return cast("Descriptor", field.message_type).fields_by_name["value"]


def home_of(field: FieldDescriptor) -> str:
    """The full name of the message the key belongs to."""
    return str(cast("Descriptor", field.containing_type).full_name)


def words_of(field: FieldDescriptor) -> list[str]:
    """The words of an enumeration, in the order of their numbers."""
    return [word.name for word in cast("EnumDescriptor", field.enum_type).values]
