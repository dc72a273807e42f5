from __future__ import annotations

import pytest

from kasbah.kas.hub_client.records import AccessAsUser, RolesAt
from kasbah.kas.kubernetes_api.impersonation import identity_of
from kasbah.wire.identity import AsAgent, AsUser, InvalidIdentityError
from tests.doubles.people import MIA_AS_USER, mia


def test_access_as_agent_impersonates_nobody():
    assert identity_of(mia()) == AsAgent()


def test_access_as_user_is_gitlabs_byte_for_byte():
    assert identity_of(mia(MIA_AS_USER)) == AsUser(
        username="gitlab:user:mia",
        groups=(
            "gitlab:user",
            "gitlab:project_role:40:guest",
            "gitlab:project_role:40:reporter",
            "gitlab:project_role:40:developer",
            "gitlab:group_role:5:maintainer",
        ),
        extra=(
            ("agent.gitlab.com/id", ("7",)),
            ("agent.gitlab.com/username", ("mia",)),
            ("agent.gitlab.com/access_type", ("personal_access_token",)),
            ("agent.gitlab.com/config_project_id", ("31",)),
        ),
    )


def test_a_role_that_cannot_be_a_header_is_nobody():
    odd = AccessAsUser(projects=(RolesAt(id=1, roles=("a\r\nImpersonate-User: root",)),))
    with pytest.raises(InvalidIdentityError):
        identity_of(mia(odd))
