"""Tokens that go to a file instead of a terminal: checked before one is made, because it cannot be shown twice."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

from kasbah.cli.resources import Json
from kasbah.errors import UserError
from kasbah.kit import private_file

CreatedT = TypeVar("CreatedT")


class SecretFile:
    """A place for one token: a file made for it, or none (then the token stays in the object)."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> Self:
        """Refuses a place that cannot be written, before anything is created for it."""
        if self._path is not None and not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise UserError(
                f"cannot write {self._path}: its directory is missing or not yours; nothing was created"
            )
        if self._path is not None and self._path.is_dir():
            raise UserError(f"cannot write {self._path}: it is a directory; nothing was created")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def take(self, created: CreatedT) -> CreatedT:
        """Write the object's token to the file and leave it out of the object, when there is a file."""
        if self._path is None:
            return created
        rest = dict(cast("Json", created))
        private_file.write(self._path, f"{rest.pop('token')}\n".encode())
        return cast("CreatedT", rest)  # the same object but for one key that is not required
