"""Identity v2.0 as operations on the world (reference section 1)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from portal.simulator.core import Core, operation
from portal.simulator.entities import Token, User
from portal.simulator.errors import Json, bad_request, not_found, nova_error

LAST_HOUR_S = 3600.0
BAD_CREDENTIALS = "Unable to authenticate user with credentials provided."


class IdentityOperations(Core):
    """The calls of the identity service."""

    @operation("identity.authenticate", "POST")
    def authenticate(
        self, body: Mapping[str, Any], *, base_url: str = "http://simulator", include_endpoints: bool = True
    ) -> Json:
        """Return `{"access": {token, serviceCatalog, user}}` for a password or an API key.

        A user's token is handed out again until its last hour. `base_url` is where the catalog points to.
        """
        auth = body.get("auth") if isinstance(body, Mapping) else None
        if not isinstance(auth, Mapping) or ("tenantId" in auth and "tenantName" in auth):
            raise bad_request("Invalid json request body")
        key, password = auth.get("RAX-KSKEY:apiKeyCredentials"), auth.get("passwordCredentials")
        given = key if isinstance(key, Mapping) else password
        kind_given = "apiKey" if isinstance(key, Mapping) else "password"
        if not isinstance(given, Mapping) or not given.get("username") or not given.get(kind_given):
            raise bad_request("Invalid json request body")
        user = self.users.get(str(given["username"]))
        secret = None if user is None else (user.api_key if kind_given == "apiKey" else user.password)
        tenant = auth.get("tenantId", auth.get("tenantName"))
        if user is None or secret != given[kind_given] or tenant not in (None, user.tenant):
            raise nova_error(401, "unauthorized", BAD_CREDENTIALS)
        if user.needs_mfa:
            raise nova_error(401, "unauthorized", "Additional authentication credentials required")
        if not user.enabled:
            raise nova_error(403, "userDisabled", f"User '{user.username}' is disabled.")
        token = self._token_for(user)
        return {"access": self._access(user, token, kind_given, base_url if include_endpoints else None)}

    @operation("identity.revoke", "DELETE")
    def revoke_token(self, token_id: str) -> None:
        token = self.tokens.get(token_id)
        if token is None or token.revoked:
            raise not_found("Token not found.")
        token.revoked = True

    def token_user(self, token_id: str | None) -> User | None:
        """Return whose token it is; None if it is unknown, expired or revoked."""
        token = self.tokens.get(token_id or "")
        if token is None or token.revoked or token.expires_t <= self.now:
            return None
        user = self.users.get(token.username)
        return user if user is not None and user.enabled else None

    def add_user(self, user: User) -> User:
        self.users[user.username] = user
        return user

    def _token_for(self, user: User) -> Token:
        self.version += 1
        for token in self.tokens.values():
            if (
                token.username == user.username
                and not token.revoked
                and token.expires_t - self.now > LAST_HOUR_S
            ):
                return token
        token = Token(self.dice.hex(32), user.username, self.now, self.now + self.settings.token_life_s)
        self.tokens = {
            key: old for key, old in self.tokens.items() if not old.revoked and old.expires_t > self.now
        }
        self.tokens[token.token_id] = token
        return token

    def _access(self, user: User, token: Token, kind_given: str, base_url: str | None) -> Json:
        expires = (self.start + timedelta(seconds=token.expires_t)).isoformat(timespec="milliseconds")
        roles = [
            {"id": str(3 + i), "name": role, "description": f"{role} role", "tenantId": user.tenant}
            for i, role in enumerate(user.roles)
        ]
        access: Json = {
            "token": {
                "id": token.token_id,
                "expires": expires.replace("+00:00", "Z"),
                "tenant": {"id": user.tenant, "name": user.tenant},
                "RAX-AUTH:authenticatedBy": ["APIKEY" if kind_given == "apiKey" else "PASSWORD"],
            },
            "user": {
                "id": user.user_id,
                "name": user.username,
                "roles": roles,
                "RAX-AUTH:defaultRegion": "DFW",
            },
        }
        if base_url is not None:
            access["serviceCatalog"] = self._catalog(user.tenant, base_url)
        return access

    def _catalog(self, tenant: str, base_url: str) -> list[Json]:
        regions = sorted(
            {lb.region for lb in self.balancers.values() if lb.tenant == tenant} | {"DFW", "ORD"}
        )
        servers, balancers = [], []
        for region in regions:
            root = f"{base_url}/{region.lower()}"
            servers.append(
                {
                    "region": region,
                    "tenantId": tenant,
                    "publicURL": f"{root}/servers/v2/{tenant}",
                    "versionId": "2",
                    "versionInfo": f"{root}/servers/v2",
                    "versionList": f"{root}/servers/",
                }
            )
            balancers.append(
                {"region": region, "tenantId": tenant, "publicURL": f"{root}/loadbalancers/v1.0/{tenant}"}
            )
        old = {"tenantId": tenant, "publicURL": f"{base_url}/servers/v1.0/{tenant}", "versionId": "1.0"}
        monitoring = {"tenantId": tenant, "publicURL": f"{base_url}/monitoring/v1.0/{tenant}"}
        return [
            # The old entry shares the type "compute": whoever selects by type alone is caught by it.
            {"name": "cloudServers", "type": "compute", "endpoints": [old]},
            {"name": "cloudServersOpenStack", "type": "compute", "endpoints": servers},
            {"name": "cloudLoadBalancers", "type": "rax:load-balancer", "endpoints": balancers},
            {"name": "cloudMonitoring", "type": "rax:monitor", "endpoints": [monitoring]},
        ]
