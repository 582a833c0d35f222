"""TLS through uvicorn and gRPC, with a certificate made by openssl."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from harmgauge.auth.keys import new_key
from tests.support.certificates import certificate_for_loopback
from tests.support.process import NO_TLS, grpc_port, run, run_here, running_service
from tests.support.toy import instances

SHAPE = (4, 4, 3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate_for_loopback(tmp_path_factory.mktemp("tls"))


def test_https_and_the_commands_that_speak_it(image_bundle_path: Path, certificate: tuple[Path, Path]) -> None:
    key, line = new_key("shop")
    tls = {"tls_certificate": certificate[0], "tls_key": certificate[1]}
    with running_service(image_bundle_path, client_key=key, api_keys=line, **tls) as service:
        assert str(service.client.base_url).startswith("https://")
        for count in (1, 1500):  # the second in many pieces
            assert len(service.score(instances(count, SHAPE))["scores"]) == count
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{service.port}/livez", verify=NO_TLS)
        done = run_here("demo", bundle=image_bundle_path, port=service.port, client_key=key, **tls)
        assert done.returncode == 0, done.stderr
        old = ssl.create_default_context(cafile=str(certificate[0]))
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"https://127.0.0.1:{service.port}/livez", verify=old).status_code == 200
        assert not any("Traceback" in text for text in service.log)


def test_a_handshake_that_does_not_go_on_is_given_up(image_bundle_path: Path, certificate: tuple[Path, Path]) -> None:
    """It is closed in time, and earlier if others need the connection."""
    tls = {"tls_certificate": certificate[0], "tls_key": certificate[1]}
    limits = {"connection_timeout_seconds": 3, "max_connections": 40}
    with running_service(image_bundle_path, **tls, **limits) as service, ExitStack() as open_connections:
        half_a_hello = bytes.fromhex("1603010200010001fc0303")

        def begin() -> socket.socket:
            connection = open_connections.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            connection.sendall(half_a_hello)
            connection.settimeout(20)
            return connection

        begun = time.monotonic()
        crowd = [begin() for _ in range(60)]
        assert service.client.get("/livez").status_code == 200
        assert [connection.recv(1) for connection in crowd[:20]] == [b""] * 20
        assert time.monotonic() - begun < 3, "not for want of time"
        assert [connection.recv(1) for connection in crowd[20:]] == [b""] * 40
        assert not service.said("Traceback")


def test_grpc_over_tls(image_bundle_path: Path, certificate: tuple[Path, Path]) -> None:
    tls = {"tls_certificate": certificate[0], "tls_key": certificate[1]}
    with running_service(image_bundle_path, grpc_port=0, **tls) as service:
        credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{grpc_port(service)}", credentials) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=10).live


def test_a_key_that_is_not_the_certificates_is_refused_at_the_start(
    image_bundle_path: Path, certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "key.pem"
    other.write_text(certificate[0].read_text())
    for command in ("serve", "check"):
        done = run(command, bundle=image_bundle_path, tls_certificate=certificate[0], tls_key=other)
        assert done.returncode == 1
        assert "cannot be used" in done.stderr
        assert "Traceback" not in done.stderr
