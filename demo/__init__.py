"""`make demo`: the whole story of Kasbah on this machine, told with the commands a person would type, and run for real.

It knows the programs only from outside: `kasbah`, `agentk`, `git`, `kubectl`, and a cluster from `sandbox`. Nothing of
the user's is touched: everything lies in a directory of its own, which is the home of every command it runs.
"""

from __future__ import annotations
