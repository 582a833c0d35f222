"""Downloads over HTTP, from a real server on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harmgauge.cli.main import main
from harmgauge_models import load_cifar10
from harmgauge_models.data import cifar10
from harmgauge_models.data.download import download
from harmgauge_models.errors import UserError
from tests.support.small_cifar10 import small_files, write_archive

BODY = b"some bytes" * 1000
MD5 = hashlib.md5(BODY).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    body = BODY

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body[:500] if self.path == "/cut" else self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_good_file_is_kept_and_not_fetched_again(address: str, tmp_path: Path) -> None:
    path = download(f"{address}/good", MD5, tmp_path / "new" / "file")
    assert path.read_bytes() == BODY
    assert download("http://127.0.0.1:1/nobody-listens", MD5, path) == path


@pytest.mark.parametrize(
    ("route", "md5", "message"),
    [("/good", "0" * 32, "has the MD5"), ("/missing", MD5, "404"), ("/cut", MD5, "has the MD5|IncompleteRead")],
)
def test_a_bad_one_leaves_nothing(address: str, tmp_path: Path, route: str, md5: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        download(address + route, md5, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_nobody_listens_and_other_schemes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot fetch http"):
        download("http://127.0.0.1:1/", MD5, tmp_path / "file")
    with pytest.raises(UserError, match="expected an http or https address"):
        download("file:///etc/passwd", MD5, tmp_path / "file")


def test_loading_downloads_the_archive(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_archive(tmp_path / "made.tar.gz", small_files()).read_bytes()
    monkeypatch.setattr(_Handler, "body", archive)
    monkeypatch.setattr(cifar10, "CIFAR10_URL", f"{address}/cifar")
    monkeypatch.setattr(cifar10, "CIFAR10_MD5", hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(cifar10, "HELD_OUT_ROWS", 10)
    with pytest.raises(UserError, match="there is no CIFAR-10"):
        load_cifar10(tmp_path / "new" / "cifar.tar.gz")
    data = load_cifar10(str(tmp_path / "new" / "cifar.tar.gz"), download=True)
    assert (tmp_path / "new" / "cifar.tar.gz").read_bytes() == archive
    assert len(data.test.x) == 1010


def test_train_downloads_the_archive(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself, from the download to the exported classifier."""
    archive = write_archive(tmp_path / "made.tar.gz", small_files(110)).read_bytes()
    monkeypatch.setattr(_Handler, "body", archive)
    data, out = tmp_path / "cifar-10-binary.tar.gz", tmp_path / "out"
    arguments = ["train", "--data", str(data), "--download", "--url", f"{address}/cifar", "--out", str(out)]
    arguments += ["--md5", hashlib.md5(archive).hexdigest(), "--epochs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cifar10, "HELD_OUT_ROWS", 400)
        assert main(arguments) == 0
    assert "next: harmgauge build --classifier" in capsys.readouterr().out
    made = {path.name for path in out.iterdir()}
    assert made >= {"classifier.onnx", "train.npz", "calibration.npz", "test.npz", "samples.npz", "train.json"}
