#!/usr/bin/env python3
"""Write docs/reference/command-line.md from the commands themselves.

tools/gen_command_line.py            write it anew
tools/gen_command_line.py --check    exit 1 when it is behind
"""

from __future__ import annotations

import sys
from pathlib import Path

from kasbah.cli.app import build_app
from kasbah.cli.credential import USAGE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "command-line.md"
_HEAD = f"""\
# Command line

Written by `tools/gen_command_line.py` from the commands themselves; `--help` says the same at a terminal.
`kasbah` speaks the public REST API, so it works against a Kasbah and against a GitLab. A project is named by its path
(`ops/fleet`) or its id, an agent by its name or its id.

## Where the host and the token come from

`kasbah login` stores them in `$XDG_CONFIG_HOME/kasbah/hosts.json` (`~/.config`, mode 0600). The environment wins:

| variable | meaning |
|---|---|
| `KASBAH_URL` | the host |
| `KASBAH_TOKEN` | a personal access token; never sent to another host than `KASBAH_URL` names (without it: the current host) |
| `KASBAH_TOKEN_FILE` | a file that holds it |
| `KASBAH_CA_FILE` | a PEM certificate authority to trust beside the system's |
| `KUBECONFIG` | as for kubectl: the file `update-kubeconfig` changes is the first one that exists |
| `KASBAH_DATABASE_URL` | for `kasbah up`: PostgreSQL instead of SQLite |
| `HTTPS_PROXY`, `NO_PROXY` | as usual |

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed; one or two lines on stderr say why and what to do |
| 2 | wrong usage, or not confirmed |
| 3 | what was named does not exist, or this token may not see it |
| 4 | not logged in, or the token may not do this |
| 5 | the host is unreachable, or its certificate is not trusted |
| 130 | interrupted |

## kasbah-credential

kubectl calls it, as `kasbah agent update-kubeconfig` wrote into the kubeconfig. It makes a personal access token with the
scope `k8s_proxy`, keeps it in `$XDG_CACHE_HOME/kasbah/credentials` (mode 0600, one file for each host, agent and person)
until five minutes before it ends, and prints an ExecCredential (`client.authentication.k8s.io/v1`).

```console
{USAGE.strip()}
```
"""


def render() -> str:
    """The whole page."""
    commands = build_app().generate_docs(heading_level=2)
    # The anchor that renderers make of "kasbah --install-completion".
    return f"{_HEAD}\n{commands.strip()}\n".replace("(#kasbah-install", "(#kasbah---install")


def main(arguments: list[str]) -> int:
    """Write or check."""
    if arguments == ["--check"]:
        fresh = PAGE.exists() and PAGE.read_text("utf-8") == render()
        if not fresh:
            print(f"{PAGE.name} is behind the commands; run tools/gen_command_line.py", file=sys.stderr)
        return 0 if fresh else 1
    PAGE.write_text(render(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
