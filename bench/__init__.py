"""What we measure, against what, with the command: `python -m bench [--quick] [--write-docs] [name…]`.

Real programs on loopback: kas and `agentk` as processes, on the native tunnel and over gRPC; nginx as the API server
behind them and as a proxy in front of it; wrk as the client. Another proxy that somebody has started in front of the
same upstream can be measured beside them. Every figure that is compared is taken in the same run, rounds of all sides
taking turns, so that a slow machine slows all. Absolute figures say something about the machine, ratios about us.
"""

from __future__ import annotations
