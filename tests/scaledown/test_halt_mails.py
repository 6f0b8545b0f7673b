"""What a mail about a halt says: the same question as the live page, in the words of its reader."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.utils import timezone

from accounts.models import Contact, Membership
from portal.access import permissions_on
from portal.notify import compose, sending
from portal.notify.models import Message
from portal.runs import registry
from portal.runs.models import Run
from portal.runs.store_pg import PgStore
from portal.runs.types import Decision, Halt, HaltRank, RunStatus
from scaledown import driver, live, services
from scaledown.progress import progress_from_plain, progress_to_plain
from scaledown.types import Phase
from scaledown.waits import PATIENCE_S
from tests.scaledown.rows import desk
from tests.scaledown.test_services import approved

pytestmark = pytest.mark.django_db
PURPOSES = {
    HaltRank.SITE_IN_DANGER: "run_danger",
    HaltRank.DECIDE_TODAY: "run_decide",
    HaltRank.SAFE_WAITING: "run_waiting",
}


@pytest.fixture
def here(settings):
    known = registry.registered(services.KIND)
    if known is None or known.asks is None:  # one that another test left
        registry.forget_kind(services.KIND)
        registry.register_kind(services.KIND, driver.make_kind, asks=live.asked_by)
    settings.MAIL_TEMPLATES_STRICT = True
    compose._engine.cache_clear()
    yield desk()
    compose._engine.cache_clear()


def begun(here, phase=Phase.DRAINING, *, by_engine=False, rehearsal=False):
    """A run that goes on, with its first server in this phase; the machine has noted a stop, unless the engine stops it."""
    plan = approved(here)
    if rehearsal:
        run = services.rehearse(plan, actor=here.manager, pool=here.pool)
    else:
        run = services.start_run(plan, actor=here.manager, seen_digest=plan.digest)
    now = timezone.now()
    progress = progress_from_plain(run.progress)
    servers = (replace(progress.servers[0], phase=phase, since=now), *progress.servers[1:])
    progress = replace(progress, started_at=now, stopped_at=None if by_engine else now, servers=servers)
    Run.objects.filter(pk=run.pk).update(
        status=RunStatus.RUNNING,
        started_at=now,
        in_charge=here.manager,
        next_tick_at="2020-01-01T00:00Z",
        progress=progress_to_plain(progress),
    )
    return run


def halt(run, rank):
    """Halt it as a worker does, through the store."""
    store = PgStore()
    view = store.claim(str(run.ref), holder="test", lease_s=30)
    says = Halt("it_happened", rank, "Node 4417 fails its probe.", "One server does not answer.", ("resume",))
    store.commit(view, Decision(progress=view.progress, halt=says))
    run.refresh_from_db()
    return run


def halted(here, rank, phase=Phase.DRAINING, **how):
    return halt(begun(here, phase, **how), rank)


def mails(run):
    """Return purpose and text of what each person reads, by name, or by address for who has no log-in."""
    rows = list(Message.objects.filter(subject_ref=f"run:{run.ref}").select_related("user", "account"))
    written = [(row.user, row.purpose, sending.render(row)) for row in rows]
    addresses = {user or "ada@example.com" for user, _, _ in written}
    assert len(addresses) == len(written)
    return {user.name if user else "Ada": (purpose, text) for user, purpose, text in written}


def flat(written):
    return " ".join(compose.opened(written).text.split())


@pytest.mark.parametrize("rank", list(HaltRank))
@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.DRAINING, Phase.HELD, Phase.DELETING])
def test_each_reader_gets_the_question_that_the_page_shows_them(here, rank, phase):
    run = halted(here, rank, phase)
    read = mails(run)
    assert {purpose for purpose, _ in read.values()} == {PURPOSES[rank]}
    customer = "Ada" if rank is HaltRank.SITE_IN_DANGER else "Approver"
    for who, viewer in (("Manager", here.manager), (customer, here.approver)):
        shown = live.live_run(run, granted=permissions_on(viewer, here.account)).halt
        _, written = read[who]
        text = flat(written)
        assert shown.asked in text, who
        assert shown.otherwise in text, who
        html = " ".join(compose.opened(written).html.replace("&#x27;", "'").split())
        assert shown.asked in html, who
        assert shown.otherwise in html, who
        assert "MISSING" not in text + html
        assert ("An answer is waited for until" in text) is (phase is Phase.DRAINING)
    ours, theirs = flat(read["Manager"][1]), flat(read[customer][1])
    assert "Manager is asked now" in ours or "Manager has a notice" in ours or "Manager and the" in ours
    assert "Your launch team" in theirs


def test_until_when_is_said_in_the_readers_zone(here):
    here.manager.time_zone = "Europe/Stockholm"
    here.manager.save()
    run = halted(here, HaltRank.DECIDE_TODAY)
    until = live.live_run(run, granted=permissions_on(here.manager, here.account)).halt.until
    assert until == progress_from_plain(run.progress).stopped_at + timedelta(seconds=PATIENCE_S)
    local = until.astimezone(ZoneInfo("Europe/Stockholm"))
    assert f"until {local.day} {local:%b, %H:%M} {local.tzname()}." in flat(mails(run)["Manager"][1])


def test_a_mail_that_is_written_after_the_time_names_none_that_is_past(here):
    run = halted(here, HaltRank.DECIDE_TODAY)
    with time_machine.travel(timezone.now() + timedelta(hours=3), tick=False):
        text = flat(mails(run)["Approver"][1])
    assert "An answer is waited for until" not in text
    assert "is put back into service" in text


def test_where_the_engine_halted_the_run_its_patience_counts_from_then(here):
    run = halted(here, HaltRank.DECIDE_TODAY, by_engine=True)
    until = live.live_run(run, granted=permissions_on(here.manager, here.account)).halt.until
    assert until == run.halted_at + timedelta(seconds=PATIENCE_S)
    assert "An answer is waited for until" in flat(mails(run)["Manager"][1])


def test_nobody_is_said_to_be_asked_who_has_left(here):
    run = begun(here)
    here.manager.team_memberships.all().delete()
    text = flat(mails(halt(run, HaltRank.DECIDE_TODAY))["Lead"][1])
    assert "Nobody is in charge: the account's launch team is asked now" in text
    assert "Manager" not in text
    assert live.live_run(run, granted=permissions_on(here.lead, here.account)).halt.asked in text


@pytest.mark.parametrize("called", ["approvers", "nobody"])
def test_without_emergency_contacts_it_says_who_is_called_instead(here, called):
    run = begun(here)
    Contact.objects.all().delete()
    if called == "nobody":
        Membership.objects.filter(account=here.account).delete()
    read = mails(halt(run, HaltRank.SITE_IN_DANGER))
    assert sorted(read) == (["Admin", "Approver", "Manager"] if called == "approvers" else ["Manager"])
    says = {
        "approvers": "the customer's approvers are called now",
        "nobody": "There is nobody of the customer's who could be.",
    }
    assert says[called] in flat(read["Manager"][1])
    assert "emergency contacts are called" not in flat(read["Manager"][1])


@pytest.mark.parametrize("rank", list(HaltRank))
def test_a_rehearsal_asks_no_customer_and_says_so(here, rank):
    read = mails(halted(here, rank, Phase.QUEUED, rehearsal=True))
    assert list(read) == ["Manager"]
    assert "no customer is" in flat(read["Manager"][1])


def test_a_halt_whose_question_cannot_be_made_is_told_all_the_same(here, monkeypatch):
    def broken(run):
        raise KeyError("a bug")

    known = registry.registered(services.KIND)
    monkeypatch.setitem(registry._KINDS, services.KIND, replace(known, asks=broken))
    read = mails(halted(here, HaltRank.SITE_IN_DANGER))
    assert "Node 4417 fails its probe." in flat(read["Manager"][1])
    assert "launch team" not in flat(read["Ada"][1])
