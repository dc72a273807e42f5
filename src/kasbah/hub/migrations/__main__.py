"""`python -m kasbah.hub.migrations`: bring the database whose URL comes on stdin to the newest revision."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config


def configuration(url: str) -> Config:
    """Alembic's settings, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    return config


def main() -> None:
    command.upgrade(configuration(sys.stdin.read().strip()), "head")


if __name__ == "__main__":
    main()
