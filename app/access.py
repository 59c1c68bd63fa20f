"""What each route asks of its caller. The routes are held against this table, and one that it lacks answers nobody."""

from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.requests import Request

from app.documentation import EXAMPLES
from app.service import service_of
from index.keys import Scope

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key that `reid keys create` made"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key"},
}


class Rule(NamedTuple):
    """What a key needs for a route; `everywhere`: what it changes is of all galleries, so no bound key may."""

    scope: Scope
    everywhere: bool = False


OPEN = None
_QUERY, _ENROLL, _ADMIN = Rule(Scope.QUERY), Rule(Scope.ENROLL), Rule(Scope.ADMIN)
_EVERYWHERE = Rule(Scope.ADMIN, everywhere=True)
RULES: dict[tuple[str, str], Rule | None] = {
    ("GET", "/"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/console/{name}"): OPEN,
    ("GET", "/health/live"): OPEN,
    ("GET", "/health/ready"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("POST", "/query"): _QUERY,
    ("POST", "/query/batch"): _QUERY,
    ("POST", "/verify"): _QUERY,
    ("POST", "/embed"): _QUERY,
    ("GET", "/gallery"): _QUERY,
    ("GET", "/gallery/{sample_id}"): _QUERY,
    ("GET", "/gallery/{sample_id}/image"): _QUERY,
    ("POST", "/gallery"): _ENROLL,
    ("PATCH", "/gallery/{sample_id}"): _ENROLL,
    ("DELETE", "/gallery/{sample_id}"): _ENROLL,
    ("GET", "/identities"): _QUERY,
    ("GET", "/identities/{identity}"): _QUERY,
    ("PATCH", "/identities/{identity}"): _ADMIN,
    ("DELETE", "/identities/{identity}"): _ADMIN,
    ("GET", "/suspects"): _QUERY,
    ("POST", "/suspects"): _ENROLL,
    ("POST", "/suspects/right"): _ENROLL,
    ("POST", "/suspects/apart"): _ENROLL,
    ("DELETE", "/suspects/answers"): _ENROLL,
    ("GET", "/drift"): _QUERY,
    ("GET", "/settings"): _EVERYWHERE,
    ("GET", "/galleries"): _ADMIN,
    ("PUT", "/galleries/{name}"): _ADMIN,
    ("DELETE", "/galleries/{name}"): _ADMIN,
    ("GET", "/models"): _ADMIN,
    ("GET", "/models/{version}"): _ADMIN,
    ("POST", "/models/{version}/activate"): _EVERYWHERE,
    ("GET", "/migrations"): _ADMIN,
    ("GET", "/migrations/{migration_id}"): _ADMIN,
    ("POST", "/migrations/{migration_id}/cancel"): _EVERYWHERE,
    ("POST", "/migrations/{migration_id}/rollback"): _EVERYWHERE,
    ("POST", "/migrations/{migration_id}/finalize"): _EVERYWHERE,
}


async def authorize(request: Request) -> None:
    """Find out who calls and hold them against the route's rule, before anything else of the request is looked at.

    Raises `Unauthorized`, `Forbidden`, or `Overloaded` over the key's rate.
    """
    rule = RULES[request.method, request.scope["route"].path_format]
    if rule is OPEN:
        return
    keyring = service_of(request).keyring
    caller = request.state.caller = await keyring.caller(request.headers)
    keyring.admit(caller)
    caller.require(rule.scope)
    if rule.everywhere:
        caller.require_unbound()


class GuardedAPI(FastAPI):
    """An application whose OpenAPI document says which key each route needs."""

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self.openapi_schema is None:
            _describe(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def _describe(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    for name, schema in components["schemas"].items():
        if name in EXAMPLES:
            schema["examples"] = EXAMPLES[name]  # FastAPI has taken every null out of them
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            rule = RULES[method.upper(), path]
            route["security"] = [] if rule is OPEN else [{name: []} for name in SECURITY_SCHEMES]
            route["description"] += f"\n\n{_told(rule)}"


def _told(rule: Rule | None) -> str:
    if rule is OPEN:
        return "Needs no key."
    also = "" if rule.scope is Scope.ADMIN else " or `admin`"
    unbound = ", and is bound to no gallery" if rule.everywhere else ""
    return f"Needs a key that has the scope `{rule.scope}`{also}{unbound}."
