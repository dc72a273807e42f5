"""Files that hold a secret servers share."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from kasbah.errors import UserError
from kasbah.kit import shared_secret
from kasbah.kit.secrets import Secret

KEY = b"k" * 32


@pytest.mark.parametrize("key", [KEY, KEY * 2])
def test_a_secret_is_base64_of_32_bytes_or_more(key: bytes):
    assert shared_secret.decode(Secret(base64.b64encode(key).decode() + "\n")) == key


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(b"short").decode(), "é" * 44])
def test_another_text_is_none_and_is_not_shown(text: str):
    with pytest.raises(UserError, match="must be base64 of 32 random bytes") as caught:
        shared_secret.decode(Secret(text))
    assert not text or text not in str(caught.value)


def test_it_is_made_once_and_private(tmp_path: Path):
    file = tmp_path / "kas-secret"
    made = shared_secret.ensure(file)
    assert len(shared_secret.decode(made)) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert shared_secret.ensure(file) == shared_secret.read(file) == made


@pytest.mark.parametrize(
    "content", [b"", b"not base64!", b"\xff\xfe", base64.b64encode(b"short"), b"A" * 9999]
)
def test_a_file_with_something_else_is_named_and_kept(tmp_path: Path, content: bytes):
    file = tmp_path / "kas-secret"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"kas-secret: .*base64 of 32 random bytes.*remove the file"):
        shared_secret.ensure(file)
    assert file.read_bytes() == content


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UserError, match="cannot read the secret file /nowhere: No such file"):
        shared_secret.read(Path("/nowhere"))
