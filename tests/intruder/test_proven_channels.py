"""An answer proves the channel that was asked, and no other."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from accounts.contacts.models import ChannelProof
from accounts.reach import gateway, services
from accounts.reach.models import ReachState, ReachTry
from portal.notify.models import Message
from tests import factories as make
from tests.contacts.test_asking import link_to, press
from tests.reach.test_gateway import SECRET, receiver
from tests.reach.test_reaching import pass_time, start

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("channel", ["phone", "mail"])
def test_the_link_that_was_texted_proves_the_number_and_the_one_that_was_mailed_the_address(
    settings, channel
):
    account = make.account("Lindgren Outdoor")
    contact = make.contact(account, "Maja Lindgren", roles=["emergency"])
    with receiver(204) as (url, got):
        settings.REACH_GATEWAY_URL, settings.REACH_GATEWAY_SECRET = url, SECRET
        reach = start(account, make.launch_manager(account.team))
        gateway.send_due(timezone.now())
    texted = "/reach/" + json.loads(got[0][1])["data"]["answer_url"].split("/reach/")[1]
    mailed = f"/reach/{services.answer_token(ReachTry.objects.get(step__reach=reach))}/"
    assert texted != mailed
    pass_time(reach, seconds=30)
    answered = Client().post(texted if channel == "phone" else mailed)
    assert answered.status_code == 200
    reach.refresh_from_db()
    assert reach.state == ReachState.ANSWERED
    assert list(ChannelProof.objects.filter(contact=contact).values_list("kind", flat=True)) == [channel]
    assert ReachTry.objects.get(step__reach=reach).channel == channel
    # Once answered, each of the two says so.
    for link in (texted, mailed):
        assert "Your answer is noted" in Client().post(link).content.decode()


def test_a_mailbox_that_said_this_is_not_me_is_told_nothing_more_and_answers_nothing(settings):
    account = make.account("Lindgren Outdoor")
    contact = make.contact(account, "Maja Lindgren", roles=["emergency"])
    manager = make.launch_manager(account.team)
    not_me = link_to(contact, "confirm", manager)
    reach = start(account, manager)
    link = f"/reach/{services.answer_token(ReachTry.objects.get(step__reach=reach))}/"
    waiting = Message.objects.filter(address__isnull=False, account=account, mail_state="queued")
    assert waiting.exists()
    press(not_me, "disown")
    contact.refresh_from_db()
    assert contact.disowned_at
    assert not waiting.exists()
    pass_time(reach, seconds=30)
    assert account.name not in Client().get(link).content.decode()
    Client().post(link)
    reach.refresh_from_db()
    contact.refresh_from_db()
    assert reach.state != ReachState.ANSWERED
    assert contact.disowned_at
