"""A client that opens a connection for each request, as a separate program: `python connecting.py PORT [CERTIFICATE]`.

It sends requests until a connection is refused, then prints the count of each outcome: a status, "reset", "cut" (closed
without a byte) or "torn". It imports almost nothing, because many of them start at once.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
from collections import Counter

BODY = bytes(48)
REQUEST = (
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def ask(port: int, context: ssl.SSLContext | None) -> str | None:
    """The outcome of one request; None once nothing listens any more."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    except ConnectionRefusedError:
        return None
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
        connection.sendall(REQUEST)
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    except OSError as error:
        return f"reset: {error!r}"
    finally:
        connection.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    if not answer:
        return "cut"
    return head[9:12].decode() if content.endswith(b"}") else "torn"


def main() -> None:
    context = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else None
    found: Counter[str] = Counter()
    while (outcome := ask(int(sys.argv[1]), context)) is not None:
        found[outcome] += 1
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
