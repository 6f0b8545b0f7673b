"""Logging in with a second factor, in a real browser: an app, a recovery code, a security key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import time

import pytest
from playwright.sync_api import expect

from tests.browser import story
from tests.browser.test_stories import look, people  # noqa: F401  (the fixture is used by its name)

pytestmark = pytest.mark.browser


def code_of(secret, steps=0):
    """What an app shows (RFC 6238), told apart from the portal's own code on purpose."""
    counter = struct.pack(">Q", int(time.time()) // 30 + steps)
    mac = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def log_out(person):
    person.page.goto(f"{person.url}/me/")
    person.page.locator("summary.tool-user").click()
    person.page.get_by_role("button", name="Log out", exact=True).click()
    expect(person.page.get_by_role("heading", name="Log in")).to_be_visible()


def password(person, email):
    person.page.get_by_label("Mail address").fill(email)
    person.page.get_by_label("Password").fill(story.PASSWORD)
    person.page.get_by_role("button", name="Log in", exact=True).click()
    expect(person.page.get_by_role("heading", name="Second factor")).to_be_visible()


def remove(person, name):
    person.page.goto(f"{person.url}/me/second-factor/")
    person.page.get_by_role("link", name=f"Remove {name}").click()
    look(person)
    person.page.get_by_role("button", name=f"Remove {name}").click()
    expect(person.page.get_by_text(f"{name} is removed.")).to_be_visible()


def test_an_app_is_added_asked_for_and_a_recovery_code_stands_in(people):  # noqa: F811
    person = people(story.VIEWER, viewport=story.PHONE)
    page = person.page
    page.goto(f"{person.url}/me/")
    look(person)
    page.get_by_role("link", name="Add one").click()
    look(person)
    page.get_by_role("link", name="Add an authenticator app").click()
    look(person)
    secret = page.locator("#totp-key").inner_text().replace(" ", "")
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Add the app").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    look(person)
    codes = page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10

    log_out(person)
    password(person, story.VIEWER)
    look(person)
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_text("This code is not right, or was used before.")).to_be_visible()
    look(person)
    page.get_by_label("Code").fill(code_of(secret, steps=1))
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page).to_have_url(f"{person.url}/")

    log_out(person)
    password(person, story.VIEWER)
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page).to_have_url(f"{person.url}/")
    page.goto(f"{person.url}/me/second-factor/")
    expect(page.get_by_text("9 of 10 left.")).to_be_visible()
    remove(person, "Authenticator app")
    # What was refused above is the one thing that the browser may have complained about.
    person.said[:] = [one for one in person.said if not re.search("422", one)]


def test_a_security_key_is_added_and_logs_in(people):  # noqa: F811
    person = people(story.VIEWER)
    page = person.page
    devices = person.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasResidentKey": False,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    page.goto(f"{person.url}/me/second-factor/key/")
    look(person)
    page.get_by_label("Name of the key").fill("Blue key")
    page.get_by_role("button", name="Add the key").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()

    log_out(person)
    password(person, story.VIEWER)
    look(person)
    page.get_by_role("button", name="Use a security key").click()
    expect(page).to_have_url(f"{person.url}/")
    # A password that was typed long ago is no proof; the key is.
    page.goto(f"{person.url}/me/prove/?next=/me/second-factor/")
    look(person)
    page.get_by_role("button", name="Use a security key").click()
    expect(page).to_have_url(f"{person.url}/me/second-factor/")
    remove(person, "Blue key")
