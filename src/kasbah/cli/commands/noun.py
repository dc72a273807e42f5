"""How a noun's verbs become commands: in the order given, `list_` as `list`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cyclopts import App

from kasbah.cli.parameters import ANY_PARAMETER


def build(name: str, *verbs: Callable[..., Any] | App) -> App:
    """The commands of one noun; a verb may be a noun of its own."""
    app = App(name=name, help_epilogue="", default_parameter=ANY_PARAMETER)
    for verb in verbs:
        if isinstance(verb, App):
            app.command(verb)
        else:
            app.command(verb, name=verb.__name__.rstrip("_").replace("_", "-"))
    return app
