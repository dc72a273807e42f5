"""The configuration under which git runs here, in one table.

It goes into the environment of every git process, where it overrides whatever a repository's own file says, and into
the file of each new repository, so that a person who runs git there by hand works under the same rules.

Why `uploadpack.allowReachableSHA1InWant` is true and its siblings `allowAnySHA1InWant`, `allowTipSHA1InWant` are not:
pipelines and GitOps tools fetch an exact commit that may no longer be any branch's tip. "Reachable" grants only what
the advertised refs already give away, so nothing hidden opens. Protocol v2 grants any object by id whatever these
say; therefore hidden refs are tidiness and not secrecy, and repositories of different projects must never share an
object store.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from kasbah.gitrepo.settings import GitSettings

HIDDEN_REFS: Final = (
    "refs/environments",
    "refs/keep-around",
    "refs/merge-requests",
    "refs/pipelines",
    "refs/replace",  # would swap one object for another under every reader's eyes
    "refs/tmp",
)
"""Never advertised, never pushed to: the names a GitLab keeps for itself, and `refs/replace`."""

_FIXED: Final = (
    # Nothing acknowledged is lost: git syncs every file, `durability` the directories.
    ("core.fsync", "all"),
    ("core.fsyncMethod", "fsync"),
    # Objects are checked before they count. Packs are kept whole: three files to sync instead of one per object.
    ("transfer.fsckObjects", "true"),
    ("receive.fsckObjects", "true"),
    ("receive.unpackLimit", "1"),
    ("receive.denyDeleteCurrent", "refuse"),
    ("receive.advertiseAtomic", "true"),
    # Housekeeping is ours (`housekeeping`): git's own would detach from the process group that we stop.
    ("receive.autogc", "false"),
    ("gc.auto", "0"),
    ("gc.autoDetach", "false"),
    ("gc.pruneExpire", "2.weeks.ago"),
    ("maintenance.auto", "false"),
    ("uploadpack.allowFilter", "true"),
    # In this order: git clears every such permission when it reads that "any" is false.
    ("uploadpack.allowAnySHA1InWant", "false"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
    ("repack.writeBitmaps", "true"),
    # Memory of one process, whatever the pack.
    ("core.bigFileThreshold", "32m"),
    ("core.packedGitWindowSize", "32m"),
    ("core.packedGitLimit", "256m"),
    ("core.deltaBaseCacheLimit", "64m"),
    ("pack.threads", "1"),
    ("pack.windowMemory", "64m"),
    ("pack.deltaCacheSize", "64m"),
    # No program of anybody's runs: no hooks, no transports, no alternates' commands, no lazy fetch.
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.logAllRefUpdates", "false"),
    ("protocol.allow", "never"),
    ("http.followRedirects", "false"),
)

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def configuration(settings: GitSettings) -> tuple[tuple[str, str], ...]:
    """Every key and value; a key may come more than once."""
    return (
        *_FIXED,
        *(("transfer.hideRefs", ref) for ref in HIDDEN_REFS),
        ("receive.maxInputSize", str(settings.max_push_bytes)),
    )


def environment(settings: GitSettings, repository: Path, *, protocol: str = "") -> Mapping[str, str]:
    """The whole environment of a git process; nothing is inherited.

    Args:
        settings: the limits that are git's to hold.
        repository: the one directory git may work in, whoever owns it.
        protocol: the value of the client's Git-Protocol header, already checked.
    """
    entries = (*configuration(settings), ("safe.directory", str(repository)))
    values = {
        "PATH": PATH,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(len(entries)),
    }
    for index, (key, value) in enumerate(entries):
        values[f"GIT_CONFIG_KEY_{index}"] = key
        values[f"GIT_CONFIG_VALUE_{index}"] = value
    if protocol:
        values["GIT_PROTOCOL"] = protocol
    return values


def render_file(settings: GitSettings) -> str:
    """A new bare repository's `config`."""
    lines = ["[core]", "\trepositoryformatversion = 0", "\tfilemode = true", "\tbare = true"]
    for key, value in configuration(settings):
        section, name = key.split(".")
        lines += [f"[{section}]", f"\t{name} = {value}"]
    return "\n".join([*lines, ""])
