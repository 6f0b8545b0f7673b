"""What is known of a pool: entered by hand, with source, author and age."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from capacity.counts import check_template
from capacity.models import Ceiling, CountSource
from capacity.reference import Site, reference_for
from capacity.services import enter_ceiling, enter_known
from portal.audit.models import AuditEntry
from portal.egress import make_rules
from portal.errors import Refused
from tests import factories as make

pytestmark = pytest.mark.django_db


def test_nothing_known_is_none_and_not_zero():
    connection = make.connection(make.account())
    assert reference_for(connection.account, Site(connection.ref, "71"), timezone.now()) is None


def test_the_newest_figure_known_at_that_moment_counts():
    connection = make.connection(make.account())
    now = timezone.now()
    make.ceiling(connection, rps=80, at=now - timedelta(days=2))
    make.ceiling(connection, rps=90, at=now - timedelta(days=1), source="step benchmark")
    make.ceiling(connection, rps=999, at=now + timedelta(days=1))
    found = reference_for(connection.account, Site(connection.ref, "71"), now)
    assert (found.ceiling.requests_per_s, found.ceiling.source) == (90, "step benchmark")
    assert found.ceiling.age_s(now) == 86_400
    assert found.forecast_peak is None


def test_a_figure_of_another_pool_or_account_does_not_count():
    connection, other = make.connection(make.account()), make.connection(make.account())
    make.ceiling(connection, balancer_id="72")
    make.ceiling(other, balancer_id="71")
    now = timezone.now()
    assert reference_for(connection.account, Site(connection.ref, "71"), now) is None
    assert reference_for(connection.account, Site(other.ref, "71"), now) is None


@pytest.mark.parametrize("rps", [0, -1])
def test_a_ceiling_is_more_than_zero(rps):
    connection = make.connection(make.account())
    with pytest.raises(IntegrityError), transaction.atomic():
        make.ceiling(connection, rps=rps)


def test_a_figure_cannot_be_entered_for_another_accounts_connection():
    connection = make.connection(make.account())
    with pytest.raises(Refused, match="another account"):
        enter_ceiling(
            make.account(), connection, "71", requests_per_s=1, source="x", at=timezone.now(), actor=None
        )


def test_an_editor_enters_a_ceiling_by_form_and_it_stands_there_with_its_source():
    account = make.account()
    connection = make.connection(account)
    browser = Client()
    browser.force_login(make.member(account, "editor"))
    url = f"/connections/{connection.ref}/pools/71/"
    assert "unknown" in browser.get(url).content.decode()
    page = browser.post(url, {"ceiling_rps": "90", "ceiling_source": "bench in May"}, follow=True)
    assert "bench in May" in page.content.decode()
    assert AuditEntry.objects.get(what="ceiling.entered").after["requests_per_s"] == 90


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ceiling_rps": "90"}, "Say where the figure comes from"),
        ({"count_kind": "plain_number", "count_url": "http://10.0.0.1/n"}, "must stand in it"),
        ({"probe_name": "home", "probe_url": "http://169.254.169.254/"}, "169.254.169.254"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_entered(given, says):
    account = make.account()
    connection = make.connection(account)
    browser = Client()
    browser.force_login(make.member(account, "editor"))
    response = browser.post(f"/connections/{connection.ref}/pools/71/", given)
    assert response.status_code == 422
    assert says in response.content.decode()
    assert not Ceiling.objects.exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://169.254.169.254/{address}", "metadata"),
        ("http://status.example/{address}", "own address"),
        ("http://{address}.evil.example/", "own address"),
        ("http://{address}@evil.example/", "user name"),
        ("ftp://{address}/n", "http://"),
        ("http://{address}:22/", "Port 22"),
        ("http://10.0.0.1/n", "{address} must stand in it"),
    ],
)
def test_a_status_address_is_judged_before_it_is_stored(url, says):
    row = make.connection(make.account())
    caller = make.bearer(make.token(make.launch_manager(row.account.team)))
    known = {"count_kind": "plain_number", "count_url": url}
    address = reverse("api-pool-known", args=[row.ref, "71"])
    answer = Client().post(address, known, content_type="application/json", **caller)
    assert answer.status_code == 422, answer.content
    assert says in answer.json()["errors"]["count_url"][0]
    assert not CountSource.objects.exists()
    with pytest.raises(Refused, match=re.escape(says)):
        enter_known(row, "71", known, actor=None)
    known["count_url"] = "http://{address}:9113/n"
    assert Client().post(address, known, content_type="application/json", **caller).status_code == 200


def test_a_status_address_may_stand_on_a_host_that_the_operator_opened():
    rules = make_rules(("counts.example:8443", "10.0.0.4:81"))
    check_template("https://counts.example:8443/{address}", rules=rules)
    check_template("http://{address}:81/", rules=rules)
    with pytest.raises(Refused, match="own address"):
        check_template("https://counts.example/{address}", rules=rules)


def test_no_constraint_is_named_to_people():
    row = make.connection(make.account())
    given = {"requests_per_s": -1.0, "source": "x", "at": timezone.now(), "actor": None}
    with pytest.raises(Refused) as refusal:
        enter_ceiling(row.account, row, "71", **given)
    assert refusal.value.says == "The most that one server carries must be above 0 requests per second."
