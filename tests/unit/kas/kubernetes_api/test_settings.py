from __future__ import annotations

from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings


def test_what_is_revoked_is_cut_within_ten_seconds():
    settings = KubernetesApiSettings()
    assert settings.grant_ttl_s <= 5
    assert settings.recheck_s < settings.lease_s <= 10
    assert settings.denial_ttl_s < settings.grant_ttl_s
