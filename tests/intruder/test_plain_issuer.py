"""An issuer's answer about a person is not taken over plain http."""

from __future__ import annotations

import json

import pytest
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.test import RequestFactory

from accounts import oidc
from portal.errors import ProviderFailed


@pytest.mark.parametrize(
    "userinfo", ["http://login.acme.example/userinfo", None, "https://login.acme.example/u"]
)
def test_the_userinfo_endpoint_is_https_where_there_is_one(settings, monkeypatch, userinfo):
    settings.DESK_MODE = False
    base = "https://login.acme.example"
    found = {
        "issuer": base,
        "authorization_endpoint": f"{base}/a",
        "token_endpoint": f"{base}/t",
        "jwks_uri": f"{base}/j",
    }
    if userinfo:
        found["userinfo_endpoint"] = userinfo
    monkeypatch.setattr(
        OpenIDConnectOAuth2Adapter, "openid_config", property(lambda self: json.loads(json.dumps(found)))
    )
    monkeypatch.setattr(oidc, "issuer_of", lambda slug: type("I", (), {"url": base})())
    adapter = oidc._IssuerAdapter(RequestFactory().get("/"), "acme")
    if userinfo and userinfo.startswith("http:"):
        with pytest.raises(ProviderFailed):
            _ = adapter.openid_config
    else:
        assert adapter.openid_config["issuer"] == base
