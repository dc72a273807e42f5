"""Reads an agent's configuration file and hands it, and every later change, to the agent's pods.

`schema` and `rules` say what the file may hold, `reader` judges one file, `source` finds the newest, `looks` lets calls
look together, `rpc` answers agentk.
"""

from __future__ import annotations
