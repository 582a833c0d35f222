"""Limits that C-core enforces: connections, how long they may be silent, and data sent ahead over them."""

from __future__ import annotations

import sys

from harmgauge.api.grpc import MOST_CONNECTIONS

CALLS_PER_CONNECTION = 100
"""The value that HTTP/2 recommends; a client queues further calls."""

AHEAD_BYTES = 64 * 2**10 - 1
"""Bytes of a message that is not being read yet: HTTP/2's own window. C-core would let it grow to 4 MiB and more."""

IDLE_SECONDS = 30
"""A connection without a call is closed, after saying so; a client opens another when it has one."""

AGE_SECONDS = 600
"""Longest life of a connection, however busy. Answers that a client never takes are gone by then, and clients reach new
replicas.
"""

GRACE_SECONDS = 5
"""Time beyond the deadline of calls, for those that are open on a connection that has become too old."""

KEEPALIVE_SECONDS = 30
ANSWERED_SECONDS = 10
"""A connection whose client answers no ping within this time is dropped, with everything sent to it."""

PING_SECONDS = 0.05
"""Shortest interval between a client's pings, with or without calls; proxies and clients ping every 10 to 30 s."""

HASTY_PINGS = 100
"""Those that come faster, since the last answer: more, and the connection is closed."""

METADATA_BYTES = 8 * 2**10
"""Metadata of a call; past twice this size it is always refused."""


def most_connections() -> int:
    """MOST_CONNECTIONS, or a quarter of the files that the process may have open, whichever is less."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource  # noqa: PLC0415 - not available on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 4)


def options(*, max_message_bytes: int, handshake_seconds: float, deadline_seconds: float) -> list[tuple[str, int]]:
    """Options of a server. TLS and HTTP/2's first frames get `handshake_seconds`, calls may take `deadline_seconds`."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.so_reuseport", 0),
        # No compression: the length is checked before decompression, and 400 KB can become 400 MB.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_allowed_incoming_connections", most_connections()),
        ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES),
        ("grpc.http2.lookahead_bytes", AHEAD_BYTES),
        ("grpc.http2.bdp_probe", 0),  # it measures the way, to let more be sent ahead
        ("grpc.server_handshake_timeout_ms", _ms(handshake_seconds)),
        ("grpc.max_connection_idle_ms", _ms(IDLE_SECONDS)),
        ("grpc.max_connection_age_ms", _ms(AGE_SECONDS)),
        ("grpc.max_connection_age_grace_ms", _ms(deadline_seconds + GRACE_SECONDS)),
        ("grpc.keepalive_time_ms", _ms(KEEPALIVE_SECONDS)),
        ("grpc.keepalive_timeout_ms", _ms(ANSWERED_SECONDS)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(PING_SECONDS)),
        ("grpc.http2.max_ping_strikes", HASTY_PINGS),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
