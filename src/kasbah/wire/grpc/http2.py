"""h2's connection as it is used here: streams' states, headers and settings; no DATA, and no checks we make ourselves."""

from __future__ import annotations

from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from h2.stream import H2Stream

from kasbah.wire.grpc.frames import MAX_WINDOW, PREFACE
from kasbah.wire.grpc.header_blocks import BlockDecoder, BlockEncoder
from kasbah.wire.grpc.limits import MIN_CONNECTION_WINDOW, GrpcLimits

_LISTS_PER_LIMIT: Final = 2
"""A header list so many times over the limit ends the connection: below, only its call."""


class Http2(H2Connection):
    """One connection; what it wants written is taken with `data_to_send` after every order."""

    MAX_CLOSED_STREAMS = 1000

    def __init__(self, *, client: bool, limits: GrpcLimits) -> None:
        super().__init__(
            H2Configuration(
                client_side=client,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
        self.encoder, self.decoder = BlockEncoder(), BlockDecoder()
        list_size = _LISTS_PER_LIMIT * limits.max_metadata_bytes
        self.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = limits.stream_window
        self.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = limits.max_calls
        self.local_settings[SettingCodes.MAX_HEADER_LIST_SIZE] = list_size
        self.local_settings[SettingCodes.ENABLE_PUSH] = 0
        self.local_settings.acknowledge()
        self.decoder.max_header_list_size = list_size

    def begin(self) -> bytes:
        """What is said first. The client's preface is not expected any more: our reader has checked it."""
        self.initiate_connection()
        said = self.data_to_send()
        if not self.config.client_side:
            self.receive_data(PREFACE)
        # DATA is counted elsewhere, so h2 must never think that a window is used up.
        self.increment_flow_control_window(MAX_WINDOW - MIN_CONNECTION_WINDOW)
        self.clear_outbound_data_buffer()
        return said

    # These walk over all streams and are asked for each new one; who opens too many is refused by the engine.

    @property
    def open_inbound_streams(self) -> int:
        return 0

    @property
    def open_outbound_streams(self) -> int:
        return 0

    def forget_closed_streams(self) -> None:
        """Drop what is kept of closed streams, but for how the last thousand ended."""
        _ = super().open_inbound_streams

    def ignore_content_length(self, stream_id: int) -> H2Stream:
        """The stream, of whose DATA h2 will see none: else its end is taken for a body of a wrong length."""
        stream = self.streams[stream_id]
        stream._expected_content_length = None  # noqa: SLF001 - h2 offers no other way
        return stream

    def take_output(self) -> bytes:
        """What is to be written, of everything since the last time."""
        return self.data_to_send() if self._data_to_send else b""
