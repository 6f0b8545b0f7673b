"""The story of contacts, told by `make demo ARGS=contacts` over HTTP alone.

An admin adds contacts and proves them, one by the link and button of a mail, one by a logged call; coverage turns green;
in a reach test the second person answers; a file with errors is mended and taken in; a review is signed by both sides;
somebody is erased.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from portal.demo_people import Browser, Story, StoryFailed

ADMIN, MANAGER = "tom@harbor.example", "jonas@north.example"
FIRST, SECOND = "ines@harbor.example", "rui@harbor.example"
# An answer within five seconds of the mail is taken for a program's.
A_PERSON_S = 6.0
WAIT_S = 8
STORY_LIMIT_S = 40.0


def tell(url: str, say: Callable[[str], None], password: str) -> dict[str, Any]:
    """Tell the whole story on the portal at `url`; `password` is that of the desk's people.

    Raises StoryFailed where the portal does not do what it must.
    """
    story, began = Story(url, say), time.monotonic()
    admin, manager = Browser(url), Browser(url)
    story.must(admin.log_in(ADMIN, password), 200, "the admin logs in")
    story.must(manager.log_in(MANAGER, password), 200, "the launch manager logs in")
    held = admin.api("GET", "/accounts").json()["results"][0]
    account = f"/accounts/{held['ref']}"
    clear(story, admin, account)
    gaps = _gaps(admin, account)
    say(f"{held['name']} has nobody to call: {len(gaps)} gaps. {gaps[0]}")
    if not gaps:
        raise StoryFailed("An account without contacts has no gap.")
    first = _proven_by_link(story, admin, account)
    _proven_by_call(story, admin, account)
    left = _gaps(admin, account)
    if left:
        raise StoryFailed(f"Coverage did not turn green: {left}")
    say("coverage is green: a primary contact, somebody for emergencies and a backup, all proven")
    after_s = _reach_test(story, manager, account)
    taken = _import(story, admin, account)
    signed = _review(story, admin, manager, account)
    erased = _erase(story, admin, account, first)
    return {
        "story": "contacts",
        "account": held["name"],
        "coverage": "green",
        "answered_by_place": 2,
        "answered_after_s": after_s,
        "imported": taken,
        "review": signed,
        "erased": erased,
        "refused_as_it_must": len(story.refused),
        "seconds": round(time.monotonic() - began, 1),
    }


def clear(story: Story, admin: Browser, account: str) -> None:
    """The desk's own contacts go, so that the story begins with nobody."""
    for row in admin.api("GET", f"{account}/contacts?limit=100").json()["results"]:
        gone = admin.api("DELETE", f"/contacts/{row['ref']}", None, **{"If-Match": "*"})
        story.must(gone, 204, "a contact is removed")


def _gaps(admin: Browser, account: str) -> list[str]:
    return [str(gap["says"]) for gap in admin.api("GET", f"{account}/coverage").json()["gaps"]]


def _add(story: Story, admin: Browser, account: str, **fields: Any) -> dict[str, Any]:
    made = story.must(admin.api("POST", f"{account}/contacts", fields), 201, "a contact is added")
    return dict(made.json())


def _proven_by_link(story: Story, admin: Browser, account: str) -> dict[str, Any]:
    """Add the first contact, who proves the mailbox and confirms by link and button."""
    first = _add(
        story,
        admin,
        account,
        name="Ines Castro",
        email=FIRST,
        phone="+351910000001",
        roles=["primary", "emergency"],
        time_zone="Europe/Lisbon",
        hours="around_the_clock",
    )
    story.say("Tom adds Ines Castro: not proven, not confirmed")
    bad = admin.api("POST", f"{account}/contacts", {"name": "Nobody"})
    story.refuses(bad, 422, "a contact whom nobody could reach")
    before = ""
    for use, what in (("prove", "proves her mailbox"), ("confirm", "confirms that she is the right one")):
        asked = admin.api("POST", f"/contacts/{first['ref']}/ask", {"use": use})
        if asked.status_code not in (200, 201):
            raise StoryFailed(f"Asking to {use}: {asked.status_code} {asked.text[:200]}")
        link = story.link_in_mail(FIRST, before=before, to_page="about-me")
        mailed_at, before = time.monotonic(), link
        for _ in range(2):
            story.must(Browser(story.url).open(link), 200, "a mail filter opens the link")
        person = Browser(story.url)
        if use == "prove":
            story.refuses(person.send(link, answer="yes"), 422, "an answer faster than any person's")
        time.sleep(max(0.0, A_PERSON_S - (time.monotonic() - mailed_at)))
        story.must(person.send(link, answer="yes"), 200, f"she {what}")
        story.say(f"a mail filter opens her link twice, which changes nothing; her button {what}")
        story.refuses(person.open(link), 404, "the same link once more")
    return first


def _proven_by_call(story: Story, admin: Browser, account: str) -> None:
    """Add the second contact, whose number is proven by a call that Tom logs in his name."""
    second = _add(
        story,
        admin,
        account,
        name="Rui Prado",
        email=SECOND,
        phone="+351910000002",
        roles=["emergency", "technical"],
        time_zone="Europe/Lisbon",
        escalation_order=2,
        hours="around_the_clock",
    )
    said = {"channel": "phone", "value": "+351910000002", "reason": "Called and read the list out."}
    story.must(admin.api("POST", f"/contacts/{second['ref']}/prove", said), 200, "a call is logged")
    story.must(admin.api("POST", f"/contacts/{second['ref']}/confirm"), 200, "Rui is confirmed")
    story.say("Tom calls Rui Prado and logs the call in his own name: the number is proven")


def _reach_test(story: Story, manager: Browser, account: str) -> float:
    """The first person does not answer in time, the second does; the worker moves on by itself."""
    said = {
        "kind": "test",
        "role": "emergency",
        "reason": "Before the winter sale",
        "message": "Please press the button.",
        "wait_s": WAIT_S,
        "tries": 1,
    }
    reach = story.must(
        manager.api("POST", f"{account}/reaches", said), 201, "the launch manager begins a reach test"
    ).json()
    story.say(f"Jonas begins a reach test: Ines is asked, and has {WAIT_S} s")
    again = manager.api("POST", f"{account}/reaches", said)
    story.refuses(again, 409, "a second reach test beside the first")
    link = story.link_in_mail(SECOND, to_page="reach")
    story.say("she does not answer; Rui is asked")
    time.sleep(A_PERSON_S)
    story.must(Browser(story.url).send(link), 200, "Rui answers")
    done = manager.api("GET", f"/reaches/{reach['ref']}").json()
    rui = done["people"][1]
    if done["state"] != "answered" or rui["after_s"] is None or done["people"][0]["after_s"] is not None:
        raise StoryFailed(f"The reach test ended otherwise: {done}")
    story.say(f"Rui Prado, second on the list, answered after {rui['after_s']:.0f} s")
    return round(float(rui["after_s"]), 1)


def _import(story: Story, admin: Browser, account: str) -> dict[str, int]:
    """A file with errors changes nothing; mended it adds and updates; once more it changes nothing."""
    head = "external_id,name,email,phone,role\n"
    rui = f"rui,Rui Prado,{SECOND},+351910000002,emergency;technical;security\n"
    bad = head + rui + "ana,Ana Reis,ana at harbor,912 000,boss\n"
    good = head + rui + "ana,Ana Reis,ana.reis@harbor.example,+351912000000,billing\n"
    held = story.must(
        admin.api("POST", f"{account}/contacts/imports", {"content": bad}), 201, "a file is handed in"
    ).json()
    said = [f"line {one['line']}, {one['field']}: {one['says']}" for one in held["problems"]]
    story.say(f"Tom hands in a file: {len(said)} things to mend. {said[0]}")
    taken = admin.api("POST", f"/contact-imports/{held['ref']}/take-in", {"digest": held["digest"]})
    story.refuses(taken, 422, "a file with errors is taken in")
    done: dict[str, int] = {}
    for which in ("mended", "once more"):
        held = admin.api("POST", f"{account}/contacts/imports", {"content": good}).json()
        answer = admin.api("POST", f"/contact-imports/{held['ref']}/take-in", {"digest": held["digest"]})
        now = story.must(answer, 200, f"the file is taken in, {which}").json()
        story.say(f"{which}: {now['added']} added, {now['changed']} changed, {now['same']} as they were")
        done = done or now
    return done


def _review(story: Story, admin: Browser, manager: Browser, account: str) -> str:
    """Begun and answered by the launch manager, signed by both sides, then a snapshot that nothing changes."""
    zone = ZoneInfo(admin.api("GET", account).json()["time_zone"])
    on = datetime.now(zone).date().isoformat()
    review = story.must(
        manager.api("POST", f"{account}/reviews", {"held_on": on}), 201, "a review is begun"
    ).json()
    by_live_data = 0
    for item in review["items"]:
        etag = manager.api("GET", f"/reviews/{review['ref']}").headers["ETag"]
        if item["by"] != "live":
            said = {"grade": "green", "reason": "Talked through.", "notes": ""}
            answered = manager.api("PATCH", f"/review-items/{item['ref']}", said, **{"If-Match": etag})
            story.must(answered, 200, "an item is answered by hand")
        else:
            by_live_data += 1
    story.say(f"Jonas begins a review: {by_live_data} items from live data, the rest by hand")
    refused = admin.api("POST", f"/reviews/{review['ref']}/sign", {"seen": "0" * 64})
    story.refuses(refused, 409, "a signature under something that nobody read")
    for who, browser, way in (
        ("Jonas", manager, "sign-for-provider"),
        ("Tom", admin, "sign"),
    ):
        seen = browser.api("GET", f"/reviews/{review['ref']}").json()["seen"]
        signed = browser.api("POST", f"/reviews/{review['ref']}/{way}", {"seen": seen})
        story.must(signed, 200, f"{who} signs")
        story.say(f"{who} signs")
    done = manager.api("GET", f"/reviews/{review['ref']}").json()
    if done["status"] != "signed":
        raise StoryFailed(f"The review is {done['status']} after both signed.")
    return str(done["status"])


def _erase(story: Story, admin: Browser, account: str, first: dict[str, Any]) -> bool:
    """Ines asks to be erased: her name is nowhere to be read any more, the record stands."""
    answer = admin.api(
        "POST", f"{account}/contacts/{first['ref']}/erase", {"reason": "She left and asked for it."}
    )
    story.must(answer, 204, "Ines is erased")
    kept = admin.api("GET", f"{account}/audit?limit=100").text + admin.api("GET", f"{account}/reaches").text
    if "Ines" in kept or FIRST in kept:
        raise StoryFailed("The erased person is still named on record.")
    if "erased person" not in kept:
        raise StoryFailed("The record does not say that somebody was erased.")
    story.say("Ines Castro is erased: the record stands, and reads “erased person”")
    return True
