"""Only who signs with the Git side's secret may call."""

from __future__ import annotations

import pytest

from kasbah.kas.internal_api.authentication import CallerCheck
from kasbah.kit.jwt import JwtError
from kasbah.wire.rpc import Metadata
from tests.doubles.forged_jwts import forgeries, signed

KEY = b"k" * 32
NOW = 1_000_000
GOOD = {"aud": ["gitlab-kas"], "iss": "gitlab.example.com", "exp": NOW + 60}
FORGED = forgeries(KEY, GOOD | {"aud": "gitlab-kas"}, NOW)
TOKEN = signed(GOOD, KEY)


def check(*values: str) -> None:
    metadata: Metadata = (("user-agent", "grpc-ruby"), *(("authorization", value) for value in values))
    CallerCheck(KEY, lambda: NOW)(metadata)


@pytest.mark.parametrize("scheme", ["bearer", "Bearer", "BEARER"])
def test_the_git_side_passes_whatever_it_is_called(scheme: str):
    check(f"{scheme} {TOKEN}")


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_nothing_forged_passes(forged: str):
    with pytest.raises(JwtError):
        check(f"bearer {forged}")


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        (TOKEN,),
        ("bearer",),
        (f"basic {TOKEN}",),
        (f"bearer  {TOKEN}",),
        (f"bearer {TOKEN}, bearer {TOKEN}",),
        (f"bearer {TOKEN}", f"bearer {TOKEN}"),
        ("bearer x", f"bearer {TOKEN}"),
    ],
    ids=str,
)
def test_there_is_one_credential_and_it_is_a_bearer_s(values: tuple[str, ...]):
    with pytest.raises(JwtError):
        check(*values)
