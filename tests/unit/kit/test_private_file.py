"""A private file is private from its first byte, and is whole or absent."""

from __future__ import annotations

import stat

import pytest

from kasbah.kit import private_file


def test_a_new_file_is_readable_by_its_owner_only(tmp_path):
    private_file.write(tmp_path / "token", b"secret")

    assert (tmp_path / "token").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_replacing_a_public_file_makes_it_private(tmp_path):
    (tmp_path / "token").write_bytes(b"old")
    (tmp_path / "token").chmod(0o644)

    private_file.write(tmp_path / "token", b"new")

    assert (tmp_path / "token").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600


def test_a_link_is_replaced_and_its_target_left_alone(tmp_path):
    (tmp_path / "target").write_bytes(b"theirs")
    (tmp_path / "token").symlink_to(tmp_path / "target")

    private_file.write(tmp_path / "token", b"ours")

    assert (tmp_path / "target").read_bytes() == b"theirs"
    assert not (tmp_path / "token").is_symlink()


def test_a_failed_write_leaves_the_old_file_and_no_leftover(tmp_path):
    (tmp_path / "token").mkdir()

    with pytest.raises(OSError, match="directory"):
        private_file.write(tmp_path / "token", b"new")

    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_made_directory_is_private(tmp_path):
    private_file.make_directory(tmp_path / "a" / "b")

    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
