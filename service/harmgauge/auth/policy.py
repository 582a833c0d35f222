"""Authorization: decided once the head of a request is there, before its body is read.

A key comes as `Authorization: Bearer KEY`, over gRPC as call metadata of that name. Every route names the permission it
needs and asks the authorizer itself (`api/guard.py`), so no second reading of the path can lead to another route.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from starlette.types import Scope

from harmgauge.auth.keys import Names, digest
from harmgauge.auth.rate_limit import UNLIMITED, RateLimit, Rates
from harmgauge.errors import Forbidden, Unauthorized

PRINCIPAL = "harmgauge.principal"
"""Key of the principal in a request's scope."""


class Role(Enum):
    """The role of a key; NOBODY if the request carries no known key."""

    NOBODY = "nobody"
    API = "api"
    METRICS = "metrics"
    ADMIN = "admin"


class Permission(Enum):
    """The permission that a request needs."""

    HEALTH = "health"
    """Probes, and the files of the pages: the same for everyone, and without data. Always open."""
    SCORES = "scores"
    INFO = "info"
    DRIFT = "drift"
    METRICS = "metrics"
    PAGE = "page"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """The sender of a request: `rate_limit` is None if it has none, `is_trusted` whether it may name its client and
    source.
    """

    role: Role
    name: str = ""
    sees_scores: bool = True
    rate_limit: RateLimit | None = None
    is_trusted: bool = True

    def begin(self, permission: Permission, *, scores: bool) -> None:
        """Count a request by its head, unless it is a probe. Raises RateLimited."""
        if self.rate_limit is not None and permission is not Permission.HEALTH:
            self.rate_limit.begin(scores=scores)


@dataclass(frozen=True)
class Policy:
    """Permissions open to anybody, whether ordinary keys get flags only, and the rates of each key but admin's.

    `trusted` are the names of the keys whose requests may name their client and source.
    """

    open: frozenset[Permission] = frozenset(Permission) - {Permission.ADMIN}
    flags_only: bool = False
    rates: Rates = UNLIMITED
    trusted: frozenset[str] = frozenset()

    def allowed(self) -> dict[Permission, frozenset[Role]]:
        """Which roles have a permission."""
        watching = {Permission.INFO, Permission.DRIFT, Permission.METRICS, Permission.PAGE}
        ordinary = {Permission.SCORES, Permission.INFO} if self.flags_only else {Permission.SCORES} | watching
        permissions = {Role.NOBODY: set(), Role.API: ordinary, Role.METRICS: watching, Role.ADMIN: set(Permission)}
        open_to_all = self.open | {Permission.HEALTH}
        return {
            permission: frozenset(
                role for role, may in permissions.items() if permission in may or permission in open_to_all
            )
            for permission in Permission
        }


class Authorizer:
    """Decides by the policy and the keys that are set."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._allowed = policy.allowed()
        self._nobody = Principal(Role.NOBODY, sees_scores=not policy.flags_only)
        self._names: dict[Role, Names] = {}
        self._principals: dict[bytes, Principal] = {}
        self._rate_limits: dict[str, RateLimit] = {}

    def set_keys(self, role: Role, names: Names) -> None:
        """All the keys of a role, in place of those before. A name that stays keeps the rest of its rates."""
        self._names[role] = names
        ordinary = set(self._names.get(Role.API, {}).values())
        self._trusts_all = not ordinary
        rates = self._policy.rates
        if rates != UNLIMITED:
            limited = ordinary | set(self._names.get(Role.METRICS, {}).values())
            self._rate_limits = {name: self._rate_limits.get(name) or RateLimit(rates) for name in limited}
        self._principals = {
            key: self._principal(role, name)
            for role in (Role.API, Role.METRICS, Role.ADMIN)  # of a key with two roles, the last counts
            for key, name in self._names.get(role, {}).items()
        }

    def _principal(self, role: Role, name: str) -> Principal:
        is_trusted = self._trusts_all or name in self._policy.trusted
        sees_scores = role is not Role.API or not self._policy.flags_only
        rate_limit = None if role is Role.ADMIN else self._rate_limits.get(name)
        return Principal(role, name, sees_scores, rate_limit, is_trusted)

    def check_http(self, scope: Scope, permission: Permission) -> None:
        """Let a request in, and note its sender in its scope; raises Unauthorized, Forbidden or RateLimited."""
        principal = scope[PRINCIPAL] = self.check(permission, scope["headers"])
        principal.begin(permission, scores=permission is Permission.SCORES and scope["method"] == "POST")

    def check_unrouted(self, scope: Scope) -> None:
        """Check a request that no route checked: it needs the permission to score. Raises as `check_http` does."""
        if PRINCIPAL not in scope:
            self.check_http(scope, Permission.SCORES)

    def check(self, permission: Permission, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """The principal of these headers, whose names are in lower case. Raises Unauthorized or Forbidden."""
        given = None
        if self._principals:
            given = next((value for name, value in headers if name == b"authorization"), None)
        principal = self._nobody if given is None else self._known(given)
        if principal.role in self._allowed[permission]:
            return principal
        if permission is Permission.ADMIN and not self._names.get(Role.ADMIN):
            raise Forbidden(
                "No admin key is set. To use /admin, make one with `harmgauge key NAME` and start the service with its "
                "line in HARMGAUGE_ADMIN_KEYS."
            )
        if principal.role is Role.NOBODY:
            wrong = "" if given is None else ' error="invalid_token"'
            raise Unauthorized(
                "Send 'Authorization: Bearer KEY' with a valid key.",
                headers={"WWW-Authenticate": f"Bearer{wrong}"},
            )
        raise Forbidden(
            f"The key {principal.name!r} has the role {principal.role.value!r}, which does not permit this.",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )

    def name_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The name of the key in these headers; None if it is not one of ours."""
        given = next((value for name, value in headers if name == b"authorization"), None)
        return (None if given is None else self._known(given).name) or None

    def _known(self, authorization: bytes) -> Principal:
        """The principal of a key.

        The time it takes reveals nothing about a key. Nothing is compared with it byte by byte, so a client cannot
        approach it: its digest, whose bytes nobody can choose, is found by a hash that is seeded anew in every process.
        """
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return self._nobody
        return self._principals.get(digest(key.strip()), self._nobody)
