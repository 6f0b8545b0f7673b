from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from portal.audit.models import AuditEntry
from portal.runs.models import Standstill
from tests import factories

pytestmark = pytest.mark.django_db


def standstill(*words):
    out = StringIO()
    call_command("standstill", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def operator():
    return factories.user(email="ops@example.org", is_operator=True)


def test_an_operator_stops_the_whole_portal_and_lets_it_go_on(operator):
    said = standstill("put", "--by", "OPS@example.org", "--reason", "The provider has an outage.")
    assert "Nothing is sent any more but putting back" in said
    assert "all" in standstill("list")
    assert "fresh look" in standstill("lift", "--by", operator.email, "--reason", "It is over.")
    assert standstill("list") == "Nothing stands still.\n"
    put = Standstill.objects.get()
    assert (put.scope, put.by, put.lifted_by) == ("all", operator, operator)
    assert list(AuditEntry.objects.order_by("pk").values_list("what", flat=True))[-2:] == [
        "standstill.put",
        "standstill.lifted",
    ]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("put", "--reason", "x"), "Say who does it"),
        (("put", "--by", "nobody@example.org", "--reason", "x"), "no active operator"),
        (("put", "--by", "ops@example.org"), "Say why everything shall stop"),
        (("lift", "--by", "ops@example.org", "--reason", "x"), "nothing to lift"),
    ],
)
def test_a_standstill_without_person_or_reason_is_refused_with_what_to_do(operator, words, sentence):
    with pytest.raises(CommandError, match=sentence):
        standstill(*words)
    assert not Standstill.objects.exists()


def test_a_launch_manager_cannot_stop_the_whole_portal_from_the_shell(operator):
    manager = factories.user(email="jonas@example.org")
    with pytest.raises(CommandError, match="no active operator"):
        standstill("put", "--by", manager.email, "--reason", "x")
