"""On a desk there is one address: localhost. Its number leads there."""

from __future__ import annotations

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.test import Client

from portal.middleware import DeskHostMiddleware


@pytest.mark.parametrize(
    ("host", "path", "to"),
    [
        ("127.0.0.1:8000", "/login/?next=/me/", "http://localhost:8000/login/?next=/me/"),
        ("127.0.0.1", "/", "http://localhost/"),
        ("[::1]:8000", "/scaledown/", "http://localhost:8000/scaledown/"),
    ],
)
def test_a_browser_that_comes_by_number_is_sent_to_localhost(host, path, to):
    response = Client().generic("GET", path, headers={"host": host})
    assert (response.status_code, response["Location"]) == (307, to)


@pytest.mark.parametrize("path", ["/healthz", "/api/v1/nothing-here"])
def test_programs_are_answered_where_they_ask(path):
    assert Client(headers={"host": "127.0.0.1:8000"}).get(path).status_code in {200, 404}


@pytest.mark.django_db
def test_localhost_itself_stays_where_it_is():
    assert Client(headers={"host": "localhost:8000"}).get("/login/").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000@evil.example", "127.0.0.1.evil.example", "127.0.0.1:x"])
def test_no_other_host_is_sent_anywhere(host):
    response = Client(headers={"host": host}).get("/")
    assert (response.status_code, response.get("Location")) == (400, None)


def test_only_a_desk_does_so(settings):
    settings.DESK_MODE = False
    with pytest.raises(MiddlewareNotUsed):
        DeskHostMiddleware(lambda request: None)
