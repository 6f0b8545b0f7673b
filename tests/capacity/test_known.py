"""What is known of a pool: entered by hand, with source, author and age."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from capacity.models import Ceiling
from capacity.reference import Site, reference_for
from capacity.services import enter_ceiling
from portal.audit.models import AuditEntry
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
