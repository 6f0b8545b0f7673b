"""Rows for tests, with sensible values and no audit: what a test is about is set by the test itself."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count

from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, generate_totp_secret, hotp_value
from allauth.mfa.utils import encrypt
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone

from accounts.authentication import digest_of
from accounts.calendar.models import CalendarEntry, CalendarFeed
from accounts.cases.freezing import freeze
from accounts.cases.models import CaseAttachment, SupportCase
from accounts.cases.states import Severity
from accounts.contacts.models import ChannelProof
from accounts.contacts.proving import digest_of as digest_of_channel
from accounts.models import (
    Account,
    ApiToken,
    CloudConnection,
    Contact,
    Invitation,
    Membership,
    Team,
    TeamMembership,
    User,
)
from accounts.reviews.models import ActionItem, Review, ReviewItem
from accounts.reviews.template import STANDARD
from capacity.models import Ceiling, CountSource, ForecastPeak, Probe, TrafficEvent
from portal.access import SCOPES, SERVICE_SCOPES
from portal.approvals.models import ApprovalDecision, ApprovalRequest
from portal.webhooks.models import Delivery, Endpoint

PASSWORD = "steady-as-she-goes"
# Argon2 takes its time by design; one hash for all.
_HASH: list[str] = []
_number = count(1)


def user(name="Somebody", *, email=None, password=True, **fields) -> User:
    made = User(email=email or f"user{next(_number)}@people.example", name=name, **fields)
    if password:
        if not _HASH:
            made.set_password(PASSWORD)
            _HASH.append(made.password)
        made.password = _HASH[0]
    made.save()
    return made


def team(name=None) -> Team:
    return Team.objects.create(name=name or f"Team {next(_number)}")


def launch_manager(of: Team, name="Jonas Berg", role="launch_manager", **fields) -> User:
    made = user(name, **fields)
    TeamMembership.objects.create(team=of, user=made, role=role)
    return made


def account(name=None, *, of: Team | None = None, **fields) -> Account:
    number = next(_number)
    return Account.objects.create(
        team=of or team(), name=name or f"Customer {number}", number=str(100000 + number), **fields
    )


def member(of: Account, role="viewer", name=None, *, granted_by=None, **fields) -> User:
    made = user(name or f"The {role}", **fields)
    Membership.objects.create(account=of, user=made, role=role, granted_by=granted_by)
    return made


def contact(of: Account, name="Maja Lindgren", **fields) -> Contact:
    values = {"phone": "+46701234567", "email": "maja@lindgren.example", "roles": ["primary"], **fields}
    return Contact.objects.create(account=of, name=name, **values)


def proven(of: Contact) -> Contact:
    """A contact whose mail address or number answered just now, and who confirmed the role."""
    value, kind = (of.phone, "phone") if of.phone else (of.email, "mail")
    ChannelProof.objects.create(
        contact=of, kind=kind, value_digest=digest_of_channel(of, kind, value), how="code", at=timezone.now()
    )
    Contact.objects.filter(pk=of.pk).update(confirmed_on=timezone.now().date())
    of.refresh_from_db()
    return of


def calendar_entry(title="No changes", *, account=None, team=None, kind="freeze", **fields) -> CalendarEntry:
    """Return an entry of an account or of a team, from now on for a day unless `fields` say otherwise."""
    now = timezone.now()
    scope = "account" if account is not None else ("provider" if fields.get("provider") else "team")
    values = {"starts_at": now, "ends_at": now + timedelta(days=1), "time_zone": "UTC", **fields}
    return CalendarEntry.objects.create(
        account=account, team=team, scope=scope, kind=kind, title=title, **values
    )


def feed(of: User, token: str, account: Account | None = None) -> CalendarFeed:
    return CalendarFeed.objects.create(
        user=of, account=account, digest=sha256(token.encode()).hexdigest(), prefix=token[:10]
    )


def review(of: Account, by: User, **fields) -> Review:
    """Return an open review with the standard items."""
    made = Review.objects.create(
        account=of,
        held_on=fields.pop("held_on", timezone.now().date()),
        owner=by,
        created_by=by,
        template={"standard": 1, "team": 0},
        **fields,
    )
    ReviewItem.objects.bulk_create(
        ReviewItem(review=made, position=place, key=item.key, title=item.title, question=item.question)
        for place, item in enumerate(STANDARD, start=1)
    )
    return made


def action(of: Account, by: User | None = None, title="Take an image", *, due_in=7, **fields) -> ActionItem:
    values = {"owner_user": by, **fields}
    due_on = timezone.now().date() + timedelta(days=due_in)
    return ActionItem.objects.create(account=of, title=title, due_on=due_on, **values)


def connection(of: Account, name="Shop, Dallas", **fields) -> CloudConnection:
    values = {
        "identity_url": "https://identity.provider.example/v2.0",
        "username": "lindgren-portal",
        "api_key": "the-providers-key",
        "tenant": "123456",
        "region": "DFW",
        **fields,
    }
    return CloudConnection.objects.create(account=of, name=name, **values)


def token(of: User, secret=None, *, scopes=SCOPES, expires_in=timedelta(days=1), **fields) -> str:
    """Return the secret of a new token."""
    secret = secret or f"ss_test{next(_number)}"
    made = timezone.now()
    expires_at = made + expires_in
    row = ApiToken.objects.create(
        user=of,
        name="test",
        prefix=secret[:11],
        digest=digest_of(secret),
        scopes=list(scopes),
        expires_at=max(expires_at, made + timedelta(hours=1)),
        **fields,
    )
    if expires_in < timedelta(0):
        ApiToken.objects.filter(pk=row.pk).update(
            created_at=expires_at - timedelta(days=1), expires_at=expires_at
        )
    return secret


def service_token(account: Account, by: User, secret=None, *, role="viewer", scopes=SERVICE_SCOPES, **fields):
    """Return the secret of a new service token of an account."""
    secret = secret or f"ssa_test{next(_number)}"
    return token(by, secret, account=account, role=role, scopes=scopes, **fields)


def key(of: User, name="Blue key") -> Authenticator:
    """A security key that nobody holds: it stands in lists and can be removed."""
    return Authenticator.objects.create(user=of, type="webauthn", data={"name": name, "credential": {}})


def link(of: User, issuer="https://login.acme.example", subject="a-1") -> SocialAccount:
    """A log-in through an organization."""
    return SocialAccount.objects.create(user=of, provider=issuer, uid=subject)


def place(of: User, user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"):
    """A session of this user somewhere else, with its row in the list."""
    store = SessionStore()
    store[SESSION_KEY] = str(of.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = of.get_session_auth_hash()
    store.save()
    return UserSession.objects.create(
        user=of, session_key=store.session_key, ip="203.0.113.7", user_agent=user_agent
    )


def prove(browser, user, *, how="password") -> None:
    """Give a session made by `force_login` what a log-in of a moment ago leaves in it."""
    session = browser.session
    session["account_authentication_methods"] = [{"method": how, "at": time.time()}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()


def bearer(secret: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {secret}"}


def case(of: Account, by: User | None = None, **fields) -> SupportCase:
    """A support case that waits for an answer; nobody was told."""
    values = {"severity": "safe_waiting", "summary": "It does not drain", **fields}
    return SupportCase.objects.create(
        account=of, opened_by=by, rank=list(Severity).index(values["severity"]), **values
    )


def attachment(of: SupportCase, value=None) -> CaseAttachment:
    """What was frozen with a case."""
    kept = freeze("journal", "The journal", value if value is not None else [{"seq": 1, "says": "It began."}])
    return CaseAttachment.objects.create(
        case=of,
        key=kept.key,
        title=kept.title,
        content=kept.text,
        digest=kept.digest,
        size=kept.size,
        at=timezone.now(),
    )


def endpoint(of: Account, url="https://hooks.shop.example/in", **fields) -> Endpoint:
    """A webhook of an account; its secret is the same in each test."""
    values = {"host": "hooks.shop.example", "secret": "whsec_" + "c2VjcmV0" * 4, "cursor": 0, **fields}
    return Endpoint.objects.create(account=of, url=url, **values)


def delivery(of: Endpoint, **fields) -> Delivery:
    """A message that waits."""
    ref = str(uuid.uuid4())
    values = {
        "message_id": ref,
        "type": "steadystate.run.halted.v1",
        "position": next(_number),
        "content_type": "application/json",
        "body": '{"type":"steadystate.run.halted.v1"}',
        **fields,
    }
    return Delivery.objects.create(endpoint=of, **values)


def event(of: Account, name="Autumn launch", **fields) -> TrafficEvent:
    values = {
        "starts_at": datetime(2026, 11, 1, tzinfo=UTC),
        "ends_at": datetime(2026, 11, 4, tzinfo=UTC),
        **fields,
    }
    return TrafficEvent.objects.create(account=of, name=name, **values)


def ceiling(of: CloudConnection, balancer_id="71", rps=90.0, **fields) -> Ceiling:
    values = {"source": "step benchmark", "at": timezone.now(), **fields}
    return Ceiling.objects.create(
        account=of.account, connection=of, balancer_id=balancer_id, requests_per_s=rps, **values
    )


def forecast_peak(of: CloudConnection, balancer_id="71", rps=165.0, **fields) -> ForecastPeak:
    values = {"source": "last month's peak", "at": timezone.now(), **fields}
    return ForecastPeak.objects.create(
        account=of.account, connection=of, balancer_id=balancer_id, requests_per_s=rps, **values
    )


def probe(of: CloudConnection, balancer_id="71", name="front page", **fields) -> Probe:
    values = {"url": "https://shop.example/", **fields}
    return Probe.objects.create(
        account=of.account, connection=of, balancer_id=balancer_id, name=name, **values
    )


def count_source(of: CloudConnection, balancer_id="71", **fields) -> CountSource:
    values = {"kind": "nginx_stub_status", "url_template": "http://{address}/stub_status", **fields}
    return CountSource.objects.create(account=of.account, connection=of, balancer_id=balancer_id, **values)


def approval(of: Account, author: User, *, digest="a" * 64, provider: User | None = None, **fields):
    """An open request; with `provider` that side has approved."""
    values = {
        "subject_type": "test.subject",
        "subject_ref": uuid.uuid4(),
        "title": "Shop: 6 servers to 3",
        "created_at": timezone.now(),
        **fields,
    }
    made = ApprovalRequest.objects.create(account=of, author=author, digest=digest, **values)
    if provider is not None:
        ApprovalDecision.objects.create(
            request=made,
            side="provider",
            decision="approve",
            digest=digest,
            by=provider,
            by_name=provider.name,
            role="launch_manager",
            at=timezone.now(),
        )
    return made


def notice(of: User, subject_ref="test:1", **fields):
    """What was told to a user, by mail and in the portal."""
    from portal.notify.services import tell

    context = {
        "who": "Maja",
        "what": "A plan to approve",
        "says": "No such mailbox (550).",
        "url": "/accounts/",
    }
    return tell("mail_returned", to=of, subject_ref=subject_ref, context=context, **fields)


def app(of: User) -> str:
    """Give a user an authenticator app; return its secret."""
    secret = generate_totp_secret()
    Authenticator.objects.create(user=of, type="totp", data={"secret": encrypt(secret)})
    return secret


def code_of(secret: str, *, at: float | None = None, steps: int = 0) -> str:
    """What the app shows, `steps` half minutes later."""
    counter = int(at if at is not None else time.time()) // 30 + steps
    return format_hotp_value(hotp_value(secret, counter))


def log_in(user: User, password=PASSWORD, **browser):
    """A browser that came in by the log-in page, as far as the password takes it."""
    client = Client(**browser)
    client.post("/login/", {"username": user.email, "password": password})
    return client


def invitation(
    to, by: User, token="ssi_of_the_tests", *, email="new@people.example", role="viewer", **fields
):
    """An open invitation to an account or a team, with this token."""
    from accounts.invitations import digest_of

    values = {"expires_at": timezone.now() + timedelta(days=7), **fields}
    place = {"account": to} if isinstance(to, Account) else {"team": to}
    return Invitation.objects.create(
        **place, email=email, role=role, digest=digest_of(token), prefix=token[:10], invited_by=by, **values
    )


def reach(account, by, **options):
    """A reach test under way, of one emergency contact; the one before is over."""
    from accounts.reach import services
    from accounts.reach.models import Reach

    for held in Reach.objects.filter(account=account, state="running"):
        services.stop_reach(held, actor=by)
    if not account.contacts.filter(roles__contains=["emergency"]).exists():
        contact(
            account, name="Emma Strand", email="emma@shop.example", phone="+46701234561", roles=["emergency"]
        )
    said = {"role": "emergency", "kind": "test", "reason": "yearly", "message": "Please press.", **options}
    return services.start_reach(account, actor=by, **said)
