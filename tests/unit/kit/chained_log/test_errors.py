from __future__ import annotations

from kasbah.errors import PeerError, UserError
from kasbah.kit.chained_log import errors


def test_a_full_disk_is_not_the_writers_fault_and_a_wrong_directory_is():
    assert issubclass(errors.LogWriteError, PeerError)
    assert issubclass(errors.LogBehindError, PeerError)
    assert issubclass(errors.LogTakenError, UserError)
    assert issubclass(errors.LogUnreadableError, UserError)
