"""The tree of commands. The nouns are imported when they are called, so help and completion stay quick."""

from __future__ import annotations

from typing import Final, Literal

from cyclopts import App

import kasbah
from kasbah.cli.commands.login import login, logout, whoami
from kasbah.cli.commands.up import up
from kasbah.cli.parameters import ANY_PARAMETER, Here

EPILOGUE: Final = """\
The environment wins over what `kasbah login` stored: KASBAH_URL, KASBAH_TOKEN or KASBAH_TOKEN_FILE, KASBAH_CA_FILE.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed or not logged in, 5 unreachable.
"""

_NOUNS: Final = {
    "doctor": "Look at the way to a cluster, hop by hop, and name the first that fails.",
    "project": "Projects, each with a Git repository.",
    "group": "Groups of projects.",
    "user": "People.",
    "member": "Who may do what in a project or a group.",
    "token": "Personal access tokens.",
    "job-token": "Tokens for CI jobs, and the kubeconfig a job reaches its agents with.",
    "audit": "Who did what in which cluster, and the proof that nothing of it was changed.",
    "agent": "Agents, one for each cluster, and the kubeconfig that reaches it.",
}


def build_app() -> App:
    """The whole command line."""
    app = App(
        name="kasbah",
        help="Reach Kubernetes clusters that nobody can dial.",
        help_epilogue=EPILOGUE,
        help_format="markdown",
        version=kasbah.__version__,
        default_parameter=ANY_PARAMETER,
        # Errors become one line and an exit code in __main__.
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for command in (up, login, logout, whoami, completion):
        app.command(command, help_epilogue="")
    for noun, help_text in _NOUNS.items():
        module = noun.replace("-", "_")
        app.command(f"kasbah.cli.commands.{module}:app", name=noun, help=help_text)
    app.register_install_completion_command(
        help="Install completion for the current shell.", help_epilogue=""
    )
    return app


def completion(shell: Literal["bash", "zsh", "fish"], *, here: Here) -> None:
    """Print a completion script.

    For bash: `source <(kasbah completion bash)`; or let `kasbah --install-completion` do it for good.

    Args:
        shell: The shell to write it for.
        here: Given by the program.
    """
    here.say(build_app().generate_completion(shell=shell))
