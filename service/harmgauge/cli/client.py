"""A client of the service, for programs and for the project's own commands."""

from __future__ import annotations

import http.client
import json
import ssl
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from harmgauge.bundle.named_inputs import NamedInputs
from harmgauge.bundle.named_rows import AnyRows, NamedRows
from harmgauge.errors import SettingsError
from harmgauge.settings import Settings

CONNECTIONS = 4


class Client:
    """Calls a running service over connections that stay open until `close`; a context manager. Threads may share it.

    Every call raises SettingsError if the service cannot be reached, refuses the key, or answers with an error.
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8000", key: str | None = None, certificate: Path | None = None
    ) -> None:
        """`key` is an API key. `certificate` is a PEM file to trust for https, instead of the system's authorities.

        Raises ValueError if the address is not `http://HOST:PORT` or `https://HOST:PORT`.
        """
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"{address!r} is not the address of a service: expected http://HOST:PORT")
        self.address = address.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._is_tls = parts.scheme == "https"
        self._tls = _trusting(certificate) if certificate is not None else None
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._idle: deque[http.client.HTTPConnection] = deque()  # its methods are safe from any thread

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    @classmethod
    def of(cls, settings: Settings) -> Client:
        """A client of the service that these settings start."""
        everywhere = "0.0.0.0"  # noqa: S104  # nosec B104
        # A service that listens on all addresses is reachable over loopback.
        host = {everywhere: "127.0.0.1", "::": "127.0.0.1"}.get(settings.host, settings.host)
        scheme = "https" if settings.tls_certificate else "http"
        key = settings.client_key
        return cls(
            f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}",
            None if key is None else key.get_secret_value(),
            settings.tls_certificate,
        )

    def get(self, path: str) -> dict[str, Any]:
        """Fetch a JSON document."""
        document: dict[str, Any] = json.loads(self.get_bytes(path)[0])
        return document

    def get_bytes(self, path: str) -> tuple[bytes, Message]:
        """Fetch a body and its response headers."""
        return self._call("GET", path)

    def score(self, rows: AnyRows, inputs: NamedInputs | None = None) -> dict[str, Any]:
        """Score rows in one request: (n, *shape) in the bundle's dtype, or rows by name of a bundle with `inputs`."""
        if isinstance(rows, NamedRows):
            assert inputs is not None, "rows by name need the bundle's inputs"
            content, media_type = inputs.npz(rows), "application/x-npz"
        else:
            content, media_type = rows.tobytes(), "application/octet-stream"
        return self._score(content, media_type)

    def score_image(self, image: bytes, media_type: str) -> dict[str, Any]:
        """Score an image file: `media_type` is image/jpeg, image/png or image/webp."""
        return self._score(image, media_type)

    def _score(self, content: bytes, media_type: str) -> dict[str, Any]:
        body, _ = self._call("POST", "/score", content, {"Content-Type": media_type})
        document: dict[str, Any] = json.loads(body)
        return document

    def score_each(self, rows: AnyRows, inputs: NamedInputs | None = None) -> list[dict[str, Any]]:
        """Score rows, each as a separate request, several at a time."""
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            return list(pool.map(lambda at: self.score(rows[at : at + 1], inputs), range(len(rows))))

    def _call(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[bytes, Message]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connection()
        try:
            connection.request(method, path, body, self._headers | (headers or {}))
            answer = connection.getresponse()
            content: bytes = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.close()  # the other connections are dead too
            raise SettingsError(
                f"no service answers at {self.address} ({error}): run `harmgauge serve` in another terminal first, "
                "or set HARMGAUGE_HOST and HARMGAUGE_PORT to its address"
            ) from error
        self._idle.append(connection)
        if answer.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise SettingsError(
                f"{self.address}{path} requires a different key: set HARMGAUGE_CLIENT_KEY to one that permits it"
            )
        if answer.status != http.client.OK:
            raise SettingsError(f"{self.address}{path} returned {answer.status}: {content.decode(errors='replace')}")
        return content, answer.headers

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=60)
        return http.client.HTTPSConnection(self._host, self._port, timeout=60, context=self._tls)


def _trusting(certificate: Path) -> ssl.SSLContext:
    """A context that trusts exactly the service's own certificate, whatever host it names, because the client uses
    loopback.
    """
    context = ssl.create_default_context(cafile=str(certificate))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context
