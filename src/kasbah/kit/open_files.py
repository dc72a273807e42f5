"""How many files and sockets a process may hold.

Shells and container runtimes often start programs with a soft limit of 1,024, which select() needs and nobody else: a
thousand watches would meet it. Raising it to the hard limit is allowed to everyone; Go's runtime does the same.
"""

from __future__ import annotations


def raise_limit() -> int:
    """Take the hard limit; the number of files now allowed, or 0 where there is no such limit to be had."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # some systems report a hard limit that they do not grant
        return soft
    return hard
