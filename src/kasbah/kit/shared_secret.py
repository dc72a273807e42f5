"""The secrets that servers share and sign with: files that hold base64 of 32 random bytes, as GitLab keeps them.

The only reader of such a file, and the only place that makes one. Knows nothing of what is signed.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Final

from kasbah.errors import UserError
from kasbah.kit import private_file
from kasbah.kit.secrets import Secret

_BYTES: Final = 32
_LONGEST: Final = 4096


def decode(text: Secret) -> bytes:
    """What the text stands for: 32 bytes or more.

    Raises:
        UserError: it is not base64 of as many.
    """
    try:
        decoded = base64.b64decode(text.reveal().strip(), validate=True)
    except ValueError as error:  # not base64, or not even ASCII
        raise UserError("a shared secret must be base64 of 32 random bytes") from error
    if len(decoded) < _BYTES:
        raise UserError(f"a shared secret must be base64 of 32 random bytes, and this is of {len(decoded)}")
    return decoded


def read(path: Path) -> Secret:
    """The text of a file, checked; `decode` never fails on it.

    Raises:
        UserError: it cannot be read or holds something else.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST + 1)
        secret = Secret(text.decode("ascii", errors="replace").strip() if len(text) <= _LONGEST else "")
        decode(secret)
    except OSError as error:
        raise UserError(f"cannot read the secret file {path}: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return secret


def ensure(path: Path) -> Secret:
    """As `read`; made when there is none.

    Raises:
        UserError: the file holds something else.
    """
    if not path.exists():
        private_file.write(path, base64.b64encode(secrets.token_bytes(_BYTES)) + b"\n")
    try:
        return read(path)
    except UserError as error:
        raise UserError(f"{error}; remove the file to have a new one made") from error
