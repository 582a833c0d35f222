"""Limits that C-core enforces: the number of connections, how long they may be silent, and how much data may be sent
ahead.
"""

from __future__ import annotations

import sys

from harmgauge.api.grpc import MOST_CONNECTIONS

CALLS_PER_CONNECTION = 100
"""The value that HTTP/2 recommends; clients queue further calls."""

AHEAD_BYTES = 64 * 2**10 - 1
"""Bytes of a message that may arrive before it is read: HTTP/2's initial window. C-core would let it grow to 4 MiB and
more.
"""

IDLE_SECONDS = 30
"""A connection without a call is closed after a notice; the client opens another when it needs one."""

AGE_SECONDS = 600
"""Longest life of a connection, however busy. It frees responses that a client never takes, and moves clients to new
replicas.
"""

GRACE_SECONDS = 5
"""Extra time, beyond their deadlines, for the calls that are open when a connection has become too old."""

KEEPALIVE_SECONDS = 30
ANSWERED_SECONDS = 10
"""A connection whose client does not answer a ping within this time is dropped, with everything queued for it."""

PING_SECONDS = 0.05
"""Shortest interval between a client's pings, with or without calls; proxies and clients ping every 10 to 30 s."""

HASTY_PINGS = 100
"""Pings faster than that since the last response; beyond this number the connection is closed."""

METADATA_BYTES = 8 * 2**10
"""Limit on a call's metadata; a call with more than twice this is always refused."""


def most_connections() -> int:
    """MOST_CONNECTIONS, or a quarter of the process's limit on open files, whichever is less."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource  # noqa: PLC0415 - not available on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if files == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, files // 4)


def options(*, max_message_bytes: int, handshake_seconds: float, deadline_seconds: float) -> list[tuple[str, int]]:
    """Server options. TLS and HTTP/2's first frames get `handshake_seconds`; calls may take `deadline_seconds`."""
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.so_reuseport", 0),
        # No compression: the length is checked before decompression, and 400 KB can expand to 400 MB.
        ("grpc.compression_enabled_algorithms_bitset", 1),
        ("grpc.max_allowed_incoming_connections", most_connections()),
        ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_BYTES),
        ("grpc.http2.lookahead_bytes", AHEAD_BYTES),
        ("grpc.http2.bdp_probe", 0),  # it measures the bandwidth in order to let more be sent ahead
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
