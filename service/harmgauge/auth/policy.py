"""Authorization, decided once the head of a request has arrived, before its body is read.

A key comes as `Authorization: Bearer KEY`, over gRPC as call metadata of that name. Every route names the permission
that it requires and asks the authorizer itself (`api/guard.py`), so the check and the routing cannot disagree about a
path.
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

    __hash__ = object.__hash__  # members are unique; Enum's own hashes the name, in Python, for every request

    NOBODY = "nobody"
    API = "api"
    METRICS = "metrics"
    ADMIN = "admin"


class Permission(Enum):
    """The permission that a request requires."""

    __hash__ = object.__hash__

    HEALTH = "health"
    """Probes, and the files of the pages: the same for everyone, without data, and always open."""
    SCORES = "scores"
    INFO = "info"
    DRIFT = "drift"
    METRICS = "metrics"
    PAGE = "page"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """The sender of a request.

    `rate_limit` is None if there is no limit; `is_trusted` is whether the sender may name its client and source.
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
    """Permissions open to everyone, whether ordinary keys get only flags, and the rates of each non-admin key.

    `trusted` are the names of the keys whose requests may name their client and source.
    """

    open: frozenset[Permission] = frozenset(Permission) - {Permission.ADMIN}
    flags_only: bool = False
    rates: Rates = UNLIMITED
    trusted: frozenset[str] = frozenset()

    def allowed(self) -> dict[Permission, frozenset[Role]]:
        """The roles that have each permission."""
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
    """Authorizes requests by the policy and the current keys."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._allowed = policy.allowed()
        self._nobody = Principal(Role.NOBODY, sees_scores=not policy.flags_only)
        self._names: dict[Role, Names] = {}
        self._principals: dict[bytes, Principal] = {}
        self._rate_limits: dict[str, RateLimit] = {}

    def set_keys(self, role: Role, names: Names) -> None:
        """Replace all keys of a role. A name that is kept keeps its remaining rate allowance."""
        self._names[role] = names
        ordinary = set(self._names.get(Role.API, {}).values())
        self._trusts_all = not ordinary
        rates = self._policy.rates
        if rates != UNLIMITED:
            limited = ordinary | set(self._names.get(Role.METRICS, {}).values())
            self._rate_limits = {name: self._rate_limits.get(name) or RateLimit(rates) for name in limited}
        self._principals = {
            key: self._principal(role, name)
            for role in (Role.API, Role.METRICS, Role.ADMIN)  # the last role counts for a key with two
            for key, name in self._names.get(role, {}).items()
        }

    def _principal(self, role: Role, name: str) -> Principal:
        is_trusted = self._trusts_all or name in self._policy.trusted
        sees_scores = role is not Role.API or not self._policy.flags_only
        rate_limit = None if role is Role.ADMIN else self._rate_limits.get(name)
        return Principal(role, name, sees_scores, rate_limit, is_trusted)

    def check_http(self, scope: Scope, permission: Permission) -> None:
        """Admit a request, and record its sender in its scope; raises Unauthorized, Forbidden or RateLimited."""
        principal = scope[PRINCIPAL] = self.check(permission, scope["headers"])
        principal.begin(permission, scores=permission is Permission.SCORES and scope["method"] == "POST")

    def check_unrouted(self, scope: Scope) -> None:
        """Check a request that no route checked: it requires the permission to score.

        Raises the same errors as `check_http`.
        """
        if PRINCIPAL not in scope:
            self.check_http(scope, Permission.SCORES)

    def check(self, permission: Permission, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """The principal of these headers, whose names must be in lower case. Raises Unauthorized or Forbidden."""
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
        """The name of the key in these headers; None if the key is unknown."""
        given = next((value for name, value in headers if name == b"authorization"), None)
        return (None if given is None else self._known(given).name) or None

    def _known(self, authorization: bytes) -> Principal:
        """The principal of a key.

        The time taken reveals nothing about valid keys. No key is compared byte by byte, so a client cannot find one
        step by step: it is looked up by its digest, whose bytes nobody can choose, in a hash table that is seeded anew
        in every process.
        """
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return self._nobody
        return self._principals.get(digest(key.strip()), self._nobody)
