from __future__ import annotations

from kasbah.kas.http_server.clock import CoarseClock
from kasbah.kas.kubernetes_api.owner import Tunnels, Usage, Watches
from kasbah.kas.kubernetes_api.settings import KubernetesApiSettings
from kasbah.kas.kubernetes_api.watches import WatchOpener
from kasbah.kas.reverse_tunnel.registry import TunnelRegistry
from kasbah.kas.usage_metrics.counters import UsageCounters


def test_the_parts_of_kas_are_what_an_exchange_needs():
    """The types say it all; mypy checks them, and the names exist."""
    tunnels: Tunnels = TunnelRegistry()
    watches: Watches = WatchOpener(tunnels, KubernetesApiSettings(), CoarseClock(0.0, 0.0))
    usage: Usage = UsageCounters()
    for part, protocol in ((tunnels, Tunnels), (watches, Watches), (usage, Usage)):
        assert all(hasattr(part, name) for name in vars(protocol) if not name.startswith("_"))
