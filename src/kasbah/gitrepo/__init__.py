"""Reads and serves bare Git repositories: pkt-lines, smart HTTP by git itself, objects by libgit2.

Engines (`pkt_line`, `push_request`, `push_answer`, `inflate`) are pure: bytes in, bytes out. `process` runs git;
`repository` makes and removes repositories; `durability` and `reading` touch the disk and say `_blocking` in their
names. The room knows paths of repositories and nothing of projects, people or HTTP.
"""

from __future__ import annotations
