from __future__ import annotations

import pytest

from kasbah.agentk import settings
from kasbah.agentk.app import Agentk
from kasbah.kube.access import ClusterAccess


@pytest.mark.asyncio
async def test_the_parts_fit_together_and_none_begins_before_it_runs():
    made = settings.parse(["--kas-address=ws://kas.test"], {"AGENTK_TOKEN": "glagent-abc"}, "laptop")
    Agentk(made, ClusterAccess(host="api", port=6443))
