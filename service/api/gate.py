"""Who may do what: decided when a request's head is there, before its body is read.

A key comes as `Authorization: Bearer KEY`, over gRPC as the call's metadata of that name. Every route says which area
it belongs to, and asks the gate itself (`guard.py`): no second reading of the path can come to another route.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from starlette.types import Scope

from service.bucket import Bucket
from service.errors import Forbidden, Unauthorized
from service.keys import Names, digest

VISITOR = "harmgauge.visitor"
"""Where a scope says who came."""


class Kind(Enum):
    """What a key is for. Nobody's is that of a request without a key that is known."""

    NOBODY = "nobody"
    API = "api"
    METRICS = "metrics"
    ADMIN = "admin"


class Area(Enum):
    """What a request asks for."""

    HEALTH = "health"
    """What is the same for everyone and holds no data: probes, and the files of the pages. It is always open."""
    SCORES = "scores"
    INFO = "info"
    DRIFT = "drift"
    METRICS = "metrics"
    PAGE = "page"
    ADMIN = "admin"


@dataclass(frozen=True)
class Visitor:
    """Who sent a request. `bucket` is None where nothing limits its rows."""

    kind: Kind
    name: str = ""
    sees_scores: bool = True
    bucket: Bucket | None = None

    def take(self, rows: int) -> None:
        """Count rows to be scored; raises TooManyRows."""
        if self.bucket is not None:
            self.bucket.take(rows)


@dataclass(frozen=True)
class Policy:
    """What is open to anybody, whether ordinary keys get flags only, and the rows a second that each may send."""

    open: frozenset[Area] = frozenset(Area) - {Area.ADMIN}
    flags_only: bool = False
    rows_per_second: float | None = None

    def allowed(self) -> dict[Area, frozenset[Kind]]:
        """Which kinds may ask for an area."""
        watching = {Area.INFO, Area.DRIFT, Area.METRICS, Area.PAGE}
        ordinary = {Area.SCORES, Area.INFO} if self.flags_only else {Area.SCORES} | watching
        areas = {Kind.NOBODY: set(), Kind.API: ordinary, Kind.METRICS: watching, Kind.ADMIN: set(Area)}
        open_to_all = self.open | {Area.HEALTH}
        return {
            area: frozenset(kind for kind, may in areas.items() if area in may or area in open_to_all) for area in Area
        }


class Gate:
    """Lets through whom the policy lets through."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._allowed = policy.allowed()
        self._nobody = Visitor(Kind.NOBODY, sees_scores=not policy.flags_only)
        self._names: dict[Kind, Names] = {}
        self._visitors: dict[bytes, Visitor] = {}
        self._buckets: dict[str, Bucket] = {}

    def set_keys(self, kind: Kind, names: Names) -> None:
        """All the keys of a kind, in place of those before. A name that stays keeps what is left of its rows."""
        self._names[kind] = names
        ordinary = set(self._names.get(Kind.API, {}).values())
        rate = self._policy.rows_per_second
        if rate is not None:
            self._buckets = {name: self._buckets.get(name) or Bucket(rate) for name in ordinary}
        self._visitors = {
            key: self._visitor(kind, name)
            for kind in (Kind.API, Kind.METRICS, Kind.ADMIN)  # of a key in two kinds, the last counts
            for key, name in self._names.get(kind, {}).items()
        }

    def _visitor(self, kind: Kind, name: str) -> Visitor:
        if kind is Kind.API:
            return Visitor(kind, name, not self._policy.flags_only, self._buckets.get(name))
        return Visitor(kind, name)

    def check_http(self, scope: Scope, area: Area) -> None:
        """Let a request in, and note in its scope who sent it; raises Unauthorized, Forbidden or TooManyRows."""
        visitor = scope[VISITOR] = self.check(area, scope["headers"])
        if visitor.bucket is not None and area is Area.SCORES and scope["method"] == "POST":
            visitor.bucket.check()

    def check(self, area: Area, headers: Iterable[tuple[bytes, bytes]]) -> Visitor:
        """Who came with these headers, whose names are in lower case. Raises Unauthorized or Forbidden."""
        given = None
        if self._visitors:
            given = next((value for name, value in headers if name == b"authorization"), None)
        visitor = self._nobody if given is None else self._known(given)
        if visitor.kind in self._allowed[area]:
            return visitor
        if area is Area.ADMIN and not self._names.get(Kind.ADMIN):
            raise Forbidden(
                "No admin key is set: `harmgauge key NAME` makes one; start the service with its line in "
                "HARMGAUGE_ADMIN_KEYS to use /admin."
            )
        if visitor.kind is Kind.NOBODY:
            wrong = "" if given is None else ' error="invalid_token"'
            raise Unauthorized(
                "Send 'Authorization: Bearer KEY' with a key that this service knows.",
                {"WWW-Authenticate": f"Bearer{wrong}"},
            )
        raise Forbidden(
            f"The key {visitor.name!r} is for {visitor.kind.value}, which does not open this.",
            {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )

    def name_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The name of the key that came with these headers; None where it is none of ours."""
        given = next((value for name, value in headers if name == b"authorization"), None)
        return (None if given is None else self._known(given).name) or None

    def _known(self, authorization: bytes) -> Visitor:
        """Whose key it is.

        How long it takes tells nothing of a key. Nothing is compared with it, byte after byte, that a client could come
        nearer to: its digest, whose bytes nobody can choose, is found by a hash that is seeded anew in every process.
        """
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return self._nobody
        return self._visitors.get(digest(key.strip()), self._nobody)
