"""What is counted is taken once, under GitLab's names."""

from __future__ import annotations

from typing import get_args

from kasbah.hub.usage.internal import COUNTERS, UNIQUE_COUNTERS
from kasbah.kas.kubernetes_api.access import PersonAccessType
from kasbah.kas.usage_metrics import counters as names
from kasbah.kas.usage_metrics.counters import MOST_IDS, Usage, UsageCounters


def test_nothing_is_nothing():
    assert UsageCounters().take() is None


def test_proxied_requests_are_counted_with_who_and_where():
    counters = UsageCounters()
    for user_id, agent_id in [(4, 7), (4, 7), (5, 8)]:
        counters.proxied("personal_access_token", user_id, agent_id)
    counters.proxied("ci_job", 9, 7)
    counters.proxied("session_cookie", 4, 8)
    assert counters.take() == Usage(
        {
            "k8s_api_proxy_request": 5,
            "k8s_api_proxy_requests_via_pat_access": 3,
            "k8s_api_proxy_requests_via_ci_access": 1,
            "k8s_api_proxy_requests_via_user_access": 1,
        },
        {
            "k8s_api_proxy_requests_unique_users_via_pat_access": [4, 5],
            "k8s_api_proxy_requests_unique_agents_via_pat_access": [7, 8],
            "k8s_api_proxy_requests_unique_users_via_ci_access": [9],
            "k8s_api_proxy_requests_unique_agents_via_ci_access": [7],
            "agent_users_using_ci_tunnel": [9],
            "k8s_api_proxy_requests_unique_users_via_user_access": [4],
            "k8s_api_proxy_requests_unique_agents_via_user_access": [8],
        },
    )


def test_what_was_taken_is_not_taken_again():
    counters = UsageCounters()
    counters.count(names.GITOPS_SYNC)
    counters.see(names.FLUX_NOTIFIED_PROJECTS, 3)
    counters.see(names.FLUX_NOTIFIED_PROJECTS, 3)
    assert counters.take() == Usage({"gitops_sync": 1}, {"flux_git_push_notified_unique_projects": [3]})
    assert counters.take() is None


def test_a_crowd_does_not_grow_a_report_without_end():
    counters = UsageCounters()
    for number in range(MOST_IDS + 5):
        counters.proxied("session_cookie", number, number)
        counters.see(names.FLUX_NOTIFIED_PROJECTS, number)
    usage = counters.take()
    assert usage is not None
    assert {len(ids) for ids in usage.unique_counters.values()} == {MOST_IDS}
    assert usage.counters["k8s_api_proxy_request"] == MOST_IDS + 5


def test_the_names_are_the_ones_the_hub_counts():
    counters = UsageCounters()
    counters.count(names.GITOPS_SYNC)
    counters.count(names.FLUX_NOTIFICATIONS)
    counters.see(names.FLUX_NOTIFIED_PROJECTS, 1)
    for access_type in (*get_args(PersonAccessType), "ci_job"):
        counters.proxied(access_type, 1, 1)
    usage = counters.take()
    assert usage is not None
    assert usage.counters.keys() <= COUNTERS
    assert usage.unique_counters.keys() <= UNIQUE_COUNTERS
