"""Hands agents the manifests of a project at a commit, and again at every later one.

`request` is what an agent asks for, `globs` which files a pattern means, `manifests` reads one set within bounds, `rpc`
waits for commits. GitLab removed the agents' end in its version 18; older agents still call.
"""

from __future__ import annotations
