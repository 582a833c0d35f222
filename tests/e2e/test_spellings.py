"""Every route under every odd spelling of its path, with every kind of key: none bypasses the authorizer."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from harmgauge.api.guard import Guard
from harmgauge.app import build
from harmgauge.auth.keys import new_key
from harmgauge.auth.policy import Permission, Policy, Role
from harmgauge.settings import load
from tests.support.process import RunningService, running_service

API, METRICS, ADMIN = (new_key(name) for name in ("shop", "prometheus", "operator"))
KEYS = {
    "none": (Role.NOBODY, None),
    "wrong": (Role.NOBODY, new_key("stranger")[0]),
    "api": (Role.API, API[0]),
    "metrics": (Role.METRICS, METRICS[0]),
    "admin": (Role.ADMIN, ADMIN[0]),
}
BEHIND = [
    *("%0A", "%0a", "%0D", "%0D%0A", "%0A%0A", "%00", "%09", "%0B", "%0C", "%1C", "%1F", "%7F", "%20", "%C2%85"),
    *(
        "%E2%80%A8",
        "%E2%80%A9",
        "%EF%BB%BF",
        "%FF",
        "/",
        "//",
        "/.",
        "/..",
        "/%2e",
        "%2F",
        ";",
        ";x",
        "%3B",
        "%3F",
        "?",
    ),
    *(
        "%23",
        "#",
        "#x",
        ".",
        "%2E",
        ".json",
        "%0A?scores=true",
        "/%0A",
        "%0A/livez",
        "/livez",
        "/../livez",
        "%5C",
        "*",
        "~",
    ),
]
BEFORE = [
    *(
        "/",
        "//",
        "/.",
        "/./",
        "/%2e",
        "/..",
        "/livez/..",
        "/page/..",
        "/page/../",
        "/docs/..",
        "/docs/../",
        "/%0A",
        "/%00",
    ),
    *("/%20", "/%2F", "/;", "/\\", "/%5C", "http://x", "http://x/livez/..", "http://livez", "https://x:1", "//x"),
]


def spellings(path: str) -> Iterator[str]:
    yield path
    yield from (path + odd for odd in BEHIND)
    yield from (odd + path for odd in BEFORE)
    yield path.upper()
    yield path.replace("/", "//")
    yield path.replace("/", "/./")
    yield path.replace("/", "%2F")
    yield path.replace("/", "/%0A")
    for place in range(1, len(path)):
        yield f"{path[:place]}%{ord(path[place]):02x}{path[place + 1 :]}"
    for place in (1, len(path) // 2, len(path) - 1):
        yield from (path[:place] + odd + path[place:] for odd in ("%0A", "%00", "%0D", "/", "%2F", "."))


def routes(bundle: Path) -> list[tuple[str, str, Permission]]:
    """Method, path and permission of every route, from the service itself; fails for a route without a permission."""

    async def ask() -> list[tuple[str, str, Permission]]:
        service = build(load({"HARMGAUGE_BUNDLE": str(bundle)}))
        found = []
        for route in iter_route_contexts(service.routes.routes):
            asked = [getattr(each.dependency, "__self__", each.dependency) for each in route.dependencies]
            (guard,) = (each for each in asked if isinstance(each, Guard))
            assert route.path is not None
            path = route.path.replace("{name:path}", "main.js").replace("{asked_version}", "1").replace("{name}", "toy")
            found += [(method, path, guard.permission) for method in sorted(route.methods or ())]
        service.switch.current.close()
        return found

    return asyncio.run(ask())


@pytest.fixture(scope="module", params=[False, True], ids=["scores", "flags only"])
def flags_only(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def service(image_bundle_path: Path, flags_only: bool) -> Iterator[RunningService]:
    keys = {"api_keys": API[1], "metrics_keys": METRICS[1], "admin_keys": ADMIN[1]}
    with running_service(image_bundle_path, flags_only=str(flags_only).lower(), **keys) as running:
        yield running


class Raw:
    """A connection that sends a path literally; reopened if the service closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection._validate_path = lambda path: None  # type: ignore[attr-defined]  # private, and not checked
        return connection

    def ask(self, method: str, path: str, key: str | None) -> tuple[int, bytes]:
        self._connection.putrequest(method, path, skip_accept_encoding=True)
        if key is not None:
            self._connection.putheader("Authorization", f"Bearer {key}")
        if method == "POST":
            self._connection.putheader("Content-Length", "0")
        self._connection.endheaders()
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.will_close:
            self.close()
            self._connection = self._connect()
        return answer.status, body

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def raw(service: RunningService) -> Iterator[Raw]:
    made = Raw(service.port)
    yield made
    made.close()


def test_no_spelling_of_a_path_opens_what_a_key_does_not(raw: Raw, image_bundle_path: Path, flags_only: bool) -> None:
    """Every spelling with every role that the path is closed to.

    Half of the spellings are tried without a key and half with a wrong one, which have the same role. With flags only,
    they are tried with the roles that this closes the path to; the service with scores refuses the others by the same
    rule.
    """
    allowed = Policy(frozenset(), flags_only).allowed()
    refused_with_scores = {permission: set(Role) - roles for permission, roles in Policy(frozenset()).allowed().items()}
    tried = 0
    for method, path, permission in routes(image_bundle_path):
        for name, (kind, key) in KEYS.items():
            status, _ = raw.ask(method, path, key)
            if kind in allowed[permission]:
                assert status not in (401, 403), (method, path, name)
                continue
            assert status == (401 if kind is Role.NOBODY else 403), (method, path, name)
            if flags_only and kind in refused_with_scores[permission]:
                continue
            others = {"none": slice(0, None, 2), "wrong": slice(1, None, 2)}.get(name, slice(None))
            for spelling in list(spellings(path))[others]:
                status, body = raw.ask(method, spelling, key)
                tried += 1
                assert status >= 400, (method, spelling, name, body[:200])
                assert not body or json.loads(body)["status"] == status
    assert tried > (1500 if flags_only else 5000)


def test_a_path_with_a_control_character_is_refused_before_any_route_has_it(raw: Raw) -> None:
    for path in ("/metrics%0A", "/drift%0A?scores=true", "/page/state%0A", "/livez%0D%0A", "/score%00"):
        status, body = raw.ask("GET", path, ADMIN[0])
        assert (status, json.loads(body)["code"]) == (400, "bad_request"), path


def test_what_no_route_has_is_told_to_those_only_who_may_score(raw: Raw) -> None:
    for method, path, known in (("GET", "/nowhere", 404), ("DELETE", "/score", 405), ("PUT", "/livez", 405)):
        assert raw.ask(method, path, None)[0] == 401
        assert raw.ask(method, path, METRICS[0])[0] == 403
        assert raw.ask(method, path, API[0])[0] == known
