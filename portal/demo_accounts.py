"""The story of access, told by `make demo ARGS=accounts` over HTTP alone: pages as people use them, the API for facts.

A lead opens an account and invites its first admin; the admin accepts, adds an authenticator app and logs in with it,
invites others, changes a role and removes somebody. On the way the portal refuses what it must.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time
from collections.abc import Callable
from typing import Any

from portal.demo_people import Browser, Story, StoryFailed

LEAD, MANAGER = "lena@north.example", "jonas@north.example"
ADMIN, APPROVER = "freja@nordic.example", "alva@nordic.example"
# Made up for a portal that lives for a minute.
NEW_PASSWORD = "lantern-harbor-quiet-nine"  # noqa: S105


def code_at(secret: str, at_s: float) -> str:
    """Return the six digits that an authenticator app shows at `at_s` (RFC 6238: SHA-1, 30 s)."""
    key = base64.b32decode(secret.replace(" ", "").upper() + "=" * (-len(secret.replace(" ", "")) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(at_s // 30)), hashlib.sha1).digest()
    place = mac[-1] & 0x0F
    return f"{(struct.unpack('>I', mac[place : place + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def tell(url: str, say: Callable[[str], None], password: str) -> dict[str, Any]:
    """Tell the whole story on the portal at `url`; `password` is that of the desk's people.

    Raises StoryFailed where the portal does not do what it must.
    """
    story, began = Story(url, say), time.monotonic()
    lead = Browser(url)
    story.must(lead.log_in(LEAD, password), 200, "the lead logs in")
    team = lead.api("GET", "/teams").json()["results"][0]
    opened = story.must(
        lead.api("POST", f"/teams/{team['ref']}/accounts", {"name": "Nordic Lamps", "number": "771204"}),
        201,
        "the lead opens an account",
    ).json()
    account = f"/accounts/{opened['ref']}"
    say(f"{LEAD} opens the account {opened['name']}")
    story.refuses(
        lead.api("POST", f"{account}/invitations", {"email": APPROVER, "role": "approver"}),
        403,
        "a lead invites an approver",
    )
    admin = _first_admin(story, lead, account)
    secret = _second_factor(story, admin)
    admin = _log_in_with_code(story, secret)
    person = _approver(story, admin, lead, account, password)
    _role_change(story, admin, person, account)
    _removal(story, admin, person, account)
    kept = [row["what"] for row in admin.api("GET", f"{account}/audit?limit=100").json()["results"]]
    say("on record, newest first: " + ", ".join(kept))
    for what in ("invitation.sent", "invitation.accepted", "member.granted", "member.removed"):
        if what not in kept:
            raise StoryFailed(f"{what} is not on record.")
    return {
        "story": "accounts",
        "account": opened["name"],
        "invited": 2,
        "logged_in_with_totp": True,
        "role_changed": True,
        "removed": True,
        "refused_as_it_must": len(story.refused),
        "seconds": round(time.monotonic() - began, 1),
    }


def _first_admin(story: Story, lead: Browser, account: str) -> Browser:
    """The lead invites the first admin, who accepts."""
    path = f"{account}/access/invite/"
    story.must(lead.send(path, email=ADMIN, role="admin"), 200, "the lead invites the first admin")
    link = story.link_in_mail(ADMIN)
    story.say(f"{LEAD} invites {ADMIN} as the account's first admin; the mail is there")
    filter_ = Browser(story.url)
    for _ in range(2):
        story.must(filter_.open(link), 200, "a mail filter opens the link")
    state = lead.api("GET", f"{account}/invitations").json()["results"][0]["state"]
    if state != "pending":
        raise StoryFailed(f"Opening the link changed something: the invitation is {state}.")
    story.say("a mail filter has opened the link twice: nothing changed")
    admin, named = Browser(story.url), {"name": "Freja Lund"}
    weak = admin.send(link, password="lamps", password_again="lamps", **named)  # noqa: S106
    story.refuses(weak, 422, "a password of five letters")
    joined = admin.send(link, password=NEW_PASSWORD, password_again=NEW_PASSWORD, **named)
    story.must(joined, 200, "the admin accepts")
    if account not in str(joined.url):
        raise StoryFailed(f"Accepting led to {joined.url}.")
    story.say("Freja Lund accepts with name and password and is logged in")
    story.refuses(Browser(story.url).open(link), 404, "the same link once more")
    return admin


def _second_factor(story: Story, admin: Browser) -> str:
    """The admin adds an authenticator app; returns its key."""
    page = story.must(admin.open("/me/second-factor/app/"), 200, "the page to add an app")
    found = re.search(r'id="totp-key">([A-Z2-7 ]+)<', page.text)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    if found is None or token is None:
        raise StoryFailed("The page to add an app shows no key.")
    secret = found.group(1)
    added = admin.http.post(
        "/me/second-factor/app/",
        data={"csrfmiddlewaretoken": token.group(1), "code": code_at(secret, time.time())},
        headers={"Referer": f"{story.url}/me/second-factor/app/"},
    )
    story.must(added, 200, "the admin adds an app")
    story.say("she adds an authenticator app and gets recovery codes")
    return secret


def _log_in_with_code(story: Story, secret: str) -> Browser:
    """A new browser: password, then the code of the app."""
    admin = Browser(story.url)
    asked = story.must(admin.log_in(ADMIN, NEW_PASSWORD), 200, "the admin logs in again")
    if "/login/second/" not in str(asked.url):
        raise StoryFailed(f"No second factor was asked for: {asked.url}.")
    wrong = f"{(int(code_at(secret, time.time())) + 1) % 1_000_000:06}"
    story.refuses(admin.send("/login/second/", code=wrong), 422, "a wrong code")
    # The code that added the app is used up; the next one is taken a little early, as from a phone whose clock is ahead.
    story.must(admin.send("/login/second/", code=code_at(secret, time.time() + 30)), 200, "the right code")
    story.must(admin.api("GET", "/me"), 200, "the admin is in")
    story.say("she logs in with password and code")
    return admin


def _approver(story: Story, admin: Browser, lead: Browser, account: str, password: str) -> Browser:
    """The admin invites an approver, who accepts; what others may not do to them is refused."""
    sent = admin.send(f"{account}/access/invite/", email=APPROVER, role="approver")
    story.must(sent, 200, "the admin invites an approver")
    link = story.link_in_mail(APPROVER)
    manager = Browser(story.url)
    story.must(manager.log_in(MANAGER, password), 200, "the launch manager logs in")
    wrong_person = manager.open(link)
    if "logged in with another address" not in wrong_person.text:
        raise StoryFailed("Somebody else was offered the invitation.")
    person = Browser(story.url)
    joined = person.send(link, name="Alva Berg", password=NEW_PASSWORD, password_again=NEW_PASSWORD)
    story.must(joined, 200, "the approver accepts")
    story.say("Freja invites Alva Berg as approver, who accepts")
    story.refuses(
        admin.api("POST", f"{account}/invitations", {"email": APPROVER, "role": "viewer"}),
        422,
        "somebody is invited who is a member",
    )
    row = _row_of(admin, account, "Alva Berg")
    story.refuses(
        manager.api("DELETE", f"/members/{row['ref']}", None, **{"If-Match": "*"}),
        403,
        "a launch manager removes the customer's approver",
    )
    story.refuses(person.api("GET", f"{account}/invitations"), 403, "an approver reads the invitations")
    return person


def _row_of(browser: Browser, account: str, name: str) -> dict[str, Any]:
    rows = browser.api("GET", f"{account}/members").json()["results"]
    return dict(next(row for row in rows if row["user"]["name"] == name))


def _role_change(story: Story, admin: Browser, person: Browser, account: str) -> None:
    """The approver becomes a viewer, at once; the last admin stays."""
    row = _row_of(admin, account, "Alva Berg")
    changed = admin.send(f"/members/{row['ref']}/role/", role="viewer")
    story.must(changed, 200, "the role is changed")
    if _row_of(person, account, "Alva Berg")["role"] != "viewer":
        raise StoryFailed("The role did not change.")
    story.say("Freja makes Alva a viewer: it counts at once")
    refused = person.api("POST", f"{account}/contacts", {"name": "X", "email": "x@nordic.example"})
    story.refuses(refused, 403, "a viewer adds a contact")
    story.refuses(admin.api("POST", f"{account}/leave"), 422, "the last admin leaves")


def _removal(story: Story, admin: Browser, person: Browser, account: str) -> None:
    """The viewer is removed: the session that is open no longer reaches the account."""
    story.must(person.open(f"{account}/"), 200, "the viewer reads the account")
    row = _row_of(admin, account, "Alva Berg")
    story.must(admin.send(f"/members/{row['ref']}/remove/"), 200, "the viewer is removed")
    story.say("Freja removes Alva")
    story.refuses(person.open(f"{account}/"), 404, "the removed opens the account")
    story.refuses(person.api("GET", account), 404, "the removed asks the API")
