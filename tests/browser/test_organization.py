"""Logging in through an organization, in a real browser and against a real issuer: the strict policy lets it through."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser import story
from tests.browser.test_stories import look

pytestmark = pytest.mark.browser


@pytest.fixture
def person(browser, site):
    context = browser.new_context(viewport=story.PHONE, color_scheme="dark", reduced_motion="reduce")
    context.set_default_timeout(15_000)
    made = story.Person(context, context.new_page(), site.url)
    made.said = []
    made.page.on("console", lambda message: made.said.append(message.text))
    yield made
    context.close()


def through(person, issuer, subject, **claims):
    httpx.put(f"{issuer}/users/{subject}", json=claims, trust_env=False).raise_for_status()
    page = person.page
    page.goto(f"{person.url}/login/?next=/me/")
    look(person)
    page.get_by_role("button", name="Acme").click()
    page.wait_for_url(f"{issuer}/**")
    page.locator("input[name=sub]").fill(subject)
    page.get_by_role("button", name="Authorize").click()


def test_whom_the_organization_vouches_for_is_let_in_and_led_to_where_they_were_going(person, issuer):
    through(person, issuer, "v-1", email=story.VIEWER, email_verified=True)
    person.page.wait_for_url(f"{person.url}/me/")
    expect(person.page.get_by_role("heading", name="Your settings")).to_be_visible()
    expect(person.page.get_by_role("link", name="Unlink Acme")).to_be_visible()
    look(person)
    assert not [line for line in person.said if "Content Security Policy" in line]


def test_whom_nobody_here_knows_is_not_let_in_and_told_so(person, issuer):
    through(person, issuer, "x-1", email="nobody@elsewhere.example", email_verified=True)
    expect(person.page.get_by_role("heading")).to_have_count(1)
    assert person.page.url.startswith(person.url)
    look(person)
    person.page.goto(f"{person.url}/me/")
    person.page.wait_for_url("**/login/**")
