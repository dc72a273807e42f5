"""Slugs and tiers, as GitLab makes them."""

from __future__ import annotations

import re

import pytest

from kasbah.hub.jobs.environment import Environment, guessed_tier, name_problems, slug_of


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("production", "production"),
        ("staging-1234567890123456", "staging-1234567890123456"),
        ("foo-", "foo"),
        ("staging-12345678-", "staging-12345678"),
    ],
)
def test_a_name_that_is_a_slug_stays(name, slug):
    assert slug_of(name) == slug


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("staging-12345678901234567", "staging-123456789-"),
        ("9-staging-123456789012345", "env-9-staging-123-"),
        ("staging-1234567890123456-", "staging-123456789-"),
        ("PRODUCTION", "production-"),
        ("review/1-foo", "review-1-foo-"),
        ("1-foo", "env-1-foo-"),
        ("1/foo", "env-1-foo-"),
        ("foo--bar", "foo-bar-"),
        ("foo$$bar", "foo-bar-"),
        ("$-foo", "env-foo-"),
        ("staging-12345678-01234567", "staging-12345678-"),
    ],
)
def test_a_changed_name_gets_a_suffix_of_six(name, start):
    slug = slug_of(name)
    assert re.fullmatch(re.escape(start) + "[0-9a-z]{6}", slug)
    assert len(slug) <= 24


def test_the_suffix_is_the_end_of_the_names_digest_to_the_base_36():
    # SHA-256 of "review/1-foo", reduced modulo 36 ** 6.
    assert int(slug_of("review/1-foo")[-6:], 36) == int(DIGEST, 16) % 36**6


DIGEST = "22d14a1e880332efeb8613b5a4e49ff1e071fc84ed80b8692d12b4604535f28e"


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        ("DEV", "development"),
        ("review/app", "development"),
        ("production-test", "testing"),
        ("acpt", "testing"),
        ("internal", "testing"),
        ("stg", "staging"),
        ("pre-prod", "staging"),
        ("nonprod", "staging"),
        ("Production", "production"),
        ("us-prd-1", "production"),
        ("live", "production"),
        ("customer-portal", "other"),
    ],
)
def test_the_tier_is_guessed_from_the_name(name, tier):
    assert guessed_tier(name) == tier


def test_a_given_tier_wins():
    assert Environment.of("customer-portal", "production").tier == "production"
    assert Environment.of("staging", None) == Environment(name="staging", slug="staging", tier="staging")


@pytest.mark.parametrize("name", ["a", "review/$x {1}.b_c-d", "A" * 255, "-"])
def test_names_that_gitlab_takes(name):
    assert name_problems(name) == []


@pytest.mark.parametrize("name", ["", "/a", "a/", "a\nb", "ümlaut", "a*", "a" * 256, "a:b"])
def test_names_that_gitlab_refuses(name):
    assert len(name_problems(name)) == 1
