"""The addresses on which the service listens."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from harmgauge.errors import SettingsError
from harmgauge.server.listening import listen
from tests.support.process import NO_TLS, RAW, RunningService, run, run_here, running_service
from tests.support.toy import instances

ROWS = instances(1, (4, 4, 3)).tobytes()
HEAD = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/toy/ready")


def test_every_address_means_both_families(image_bundle_path: Path) -> None:
    with running_service(image_bundle_path, host="::", open="all", grpc_port=0) as service:
        for host in ("127.0.0.1", "[::1]"):
            answer = httpx.post(
                f"http://{host}:{service.port}/score", content=ROWS, headers=RAW, timeout=60, verify=NO_TLS
            )
            assert answer.status_code == 200
        taken = run("serve", bundle=image_bundle_path, host="::", port=service.port, open="all")
        assert (taken.returncode, "HARMGAUGE_PORT" in taken.stderr) == (1, True)
        demo = run_here("demo", bundle=image_bundle_path, host="::", port=service.port)
        assert demo.returncode == 0, demo.stderr


@pytest.mark.parametrize("missing", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_answers_ipv4(monkeypatch: pytest.MonkeyPatch, missing: int) -> None:
    class WithoutIpv6(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(missing, "no IPv6 here")
            super().bind(address)  # type: ignore[arg-type]  # any address

    monkeypatch.setattr(socket, "socket", WithoutIpv6)
    for host in ("::", "localhost"):
        for listening in listen(host, 0):
            assert listening.family == socket.AF_INET
            listening.close()
    with pytest.raises(SettingsError, match="cannot listen on ::1:0 .*no IPv6 here"):
        listen("::1", 0)


def test_a_port_that_is_taken_is_no_reason_for_the_other_family() -> None:
    (first,) = listen("::", 0)
    with first, pytest.raises(SettingsError, match="HARMGAUGE_PORT"):
        listen("::", first.getsockname()[1])


@pytest.fixture(scope="module")
def service(image_bundle_path: Path) -> Iterator[RunningService]:
    with running_service(image_bundle_path) as running:
        yield running


@pytest.mark.parametrize("path", [*HEAD, "/metrics", "/info", "/drift", "/", "/docs", "/openapi.json"])
def test_head_is_get_without_the_body(service: RunningService, path: str) -> None:
    head, get = service.client.head(path), service.client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert service.client.head("/score").status_code == 405


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/score/"), ("GET", "/metrics/"), ("GET", "/v2/"), ("GET", "/x/")]
)
def test_no_redirect_leads_to_another_scheme_or_path(service: RunningService, method: str, path: str) -> None:
    headers = {"Host": "ml.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/fraud"}
    answer = service.client.request(method, path, headers=headers)
    assert (answer.status_code, "location" in answer.headers) == (404, False)
    assert json.loads(answer.text)["code"] == "not_found"


@pytest.mark.parametrize(("coding", "status"), [("Identity", 200), ("IDENTITY", 200), ("GZip", 415), ("gzip", 415)])
def test_content_codings_have_no_case(service: RunningService, coding: str, status: int) -> None:
    answer = service.client.post("/score", content=ROWS, headers={**RAW, "Content-Encoding": coding})
    assert answer.status_code == status
