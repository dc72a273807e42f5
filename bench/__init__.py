"""What we measure, against what, with the command: `python -m bench [--quick] [--write-docs] [name…]`.

Real programs on loopback: `kasbah up` and `agentk` as processes, nginx as the API server behind them and as the peer
in front of it, wrk as the client. Every figure that is compared is taken in the same run, rounds of both sides taking
turns, so that a slow machine slows both. Absolute figures say something about the machine, ratios about us.
"""

from __future__ import annotations
