"""The chart of a series and the sliders of what-if in a real browser, under the portal's own content security policy."""

from __future__ import annotations

import mimetypes
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.template import engines
from django.template.loader import render_to_string
from django.utils import timezone
from playwright.sync_api import expect

from capacity.metrics.chart import Drawn
from capacity.metrics.overlays import Event
from capacity.metrics.series import Step
from capacity.metrics.table import Tables, tables_of
from capacity.reports.forms import WhatIfForm
from capacity.sizing import Demand, Planned, Pool, Rules, size
from tests import chromium

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
SITE = "http://portal.example"
BEGINS = datetime(2026, 11, 1, tzinfo=UTC)
METRIC = SimpleNamespace(name="requests_per_s", unit="requests/s")
PAGE = """{% extends "base.html" %}{% load static %}{% block top %}{% endblock %}{% block alarms %}{% endblock %}
{% block head %}{% include "components/plot_style.html" %}{% endblock %}
{% block scripts %}<script src="{% static 'vendor/uplot/uPlot.iife.min.js' %}" defer></script>
<script src="{% static 'js/chart-tools.js' %}" defer></script>
<script src="{% static 'js/series.js' %}" defer></script><script src="{% static 'js/sliders.js' %}" defer></script>{% endblock %}
{% block content %}<h1>Series</h1><a data-series-csv href="/series.csv">CSV</a>{% include "capacity/metrics/_chart.html" %}
<form method="get" action="/what-if" data-what-if="answer">{% for bound in what_if %}{{ bound.label_tag }}{{ bound }}{% endfor %}</form>
<div id="answer">nothing yet</div>{% endblock %}"""

WHAT_IF = """{% extends "base.html" %}{% load static %}{% block top %}{% endblock %}{% block alarms %}{% endblock %}
{% block scripts %}<script src="{% static 'js/sliders.js' %}" defer></script>{% endblock %}
{% block content %}<h1>What if</h1><p class="lead">{{ one.sentence }}</p><section class="panel what-if-page">{% include "capacity/growth/_what_if.html" %}</section>{% endblock %}"""


def drawn(step: Step = Step.DAY, days: int = 60) -> Drawn:
    step_s = 86_400 if step is Step.DAY else 3600
    at = [BEGINS.timestamp() + step_s * n for n in range(days if step is Step.DAY else 48)]
    value = [100.0 + n for n in range(len(at))]
    value[5] = None
    return Drawn(
        step,
        BEGINS,
        BEGINS + timedelta(seconds=step_s * len(at)),
        at,
        value,
        [v and v - 9 for v in value],
        value,
        "Today (UTC) is not over and left out. Zoom in to see it." if step is Step.DAY else "",
    )


def data(found: Drawn) -> dict:
    later = [found.at[-1] + 86_400 * n for n in range(1, 8)]
    cone = {
        name: [100.0] * 7
        for name in ("point", "lower50", "upper50", "lower80", "upper80", "lower95", "upper95")
    }
    return {
        "title": "requests_per_s",
        "unit": "requests/s",
        "url": "/data",
        **found.as_plain(),
        "events": [{"from": found.at[8], "to": found.at[10], "label": "Sale"}],
        "moments": [{"at": found.at[20], "label": "shop 4.13"}],
        "band": {"at": found.at, "low": [80.0] * len(found.at), "high": [180.0] * len(found.at)},
        "cone": {"at": later, **cone} if found.step is Step.DAY else None,
    }


def tables(found: Drawn, zone: str) -> Tables:
    sale = Event(*(datetime.fromtimestamp(found.at[place], UTC) for place in (8, 10)), "Sale <1>")
    return tables_of(found, data(found), [sale], [], zone=ZoneInfo(zone), unit="requests/s")


# What is written onto the canvas cannot be read off the page.
WRITTEN = """window.written = [];
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) { written.push(text); return fill.call(this, text, ...rest); };"""


class Answers:
    """Answers every request of the page from here; keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.zone = "UTC"

    def __call__(self, route) -> None:
        parts = urlsplit(route.request.url)
        policy = "; ".join(
            f"{name} {' '.join(values)}"
            for name, values in django_settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items()
        )
        headers = {"Content-Security-Policy": policy}
        if parts.path.startswith("/static/"):
            file = ROOT / parts.path.lstrip("/")
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            route.fulfill(body=file.read_bytes(), content_type=kind, headers=headers)
            return
        self.asked.append(f"{parts.path}?{parts.query}")
        if parts.path == "/data":
            found = drawn(Step.HOUR)
            written = render_to_string(
                "capacity/metrics/_tables.html", {"metric": METRIC, "tables": tables(found, self.zone)}
            )
            route.fulfill(json={**data(found), "tables": written}, headers=headers)
        elif parts.path == "/what-if-page":
            route.fulfill(body=self.what_if(), content_type="text/html; charset=utf-8", headers=headers)
        elif parts.path == "/what-if":
            route.fulfill(body=f"<p>{parse_qs(parts.query)['growth'][0]} %</p>", content_type="text/html")
        else:
            route.fulfill(body=self.page(), content_type="text/html; charset=utf-8", headers=headers)

    def page(self) -> str:
        found = drawn()
        lines = found.lines(METRIC.name, UTC)
        return (
            engines["django"]
            .from_string(PAGE)
            .render(
                {
                    "request": SimpleNamespace(
                        user=SimpleNamespace(is_authenticated=False, time_zone=self.zone), path="/"
                    ),
                    "metric": METRIC,
                    "found": found,
                    "drawn": lines,
                    "tables": tables(found, self.zone),
                    "data": data(found),
                    "markers": [],
                    "zone_label": "UTC",
                    "what_if": WhatIfForm(flavors=[], initial={"growth": 4.1}),
                }
            )
        )

    def what_if(self) -> str:
        """The page of what-if with an answer as long as one is."""
        now = timezone.now()
        lasts = "about mid-December 2028 (October 2028 to February 2029), by the pool’s own limit"
        rules = Rules(0.2, 2)
        found = size(
            Pool(6, 90.0, "general1-4", 900.0),
            Demand(160.0, 150.0, 170.0, now, 0.04, 0.03, 0.05),
            rules,
            now,
            events=[Planned("", now, 9.0)],
        )
        answer = SimpleNamespace(
            needed=3, lasts=lasts, sizing=found, carries_from="", doubts=(), needed_cost=None
        )
        return (
            engines["django"]
            .from_string(WHAT_IF)
            .render(
                {
                    "request": SimpleNamespace(
                        user=SimpleNamespace(is_authenticated=False, time_zone="UTC"), path="/"
                    ),
                    "pool": SimpleNamespace(ref=uuid4()),
                    "one": SimpleNamespace(sentence="Organic growth and so on. " * 10, sizing=found),
                    "answer": answer,
                    "what_if": WhatIfForm(flavors=[], initial={"growth": 4.1, "multiple": 9, "servers": 6}),
                }
            )
        )


@pytest.fixture(scope="module")
def browser():
    with chromium.browser() as started:
        yield started


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    opened = context.new_page()
    opened.said, opened.answers = [], Answers()
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.route("**/*", opened.answers)
    opened.add_init_script(WRITTEN)
    opened.goto(f"{SITE}/")
    yield opened
    assert opened.said == []
    context.close()


def test_a_zoom_asks_for_that_stretch_and_says_tables_and_links_it(page):
    says = page.locator("[data-series-says]")
    expect(page.locator(".series canvas")).to_be_visible()
    expect(says).to_contain_text("by the day (UTC): 59 points")
    page.get_by_role("button", name="Closer").click()
    expect(says).to_contain_text("by the hour: 47 points")
    path, query = page.answers.asked[-1].split("?")
    asked = {name: datetime.fromisoformat(value[0]) for name, value in parse_qs(query).items()}
    assert path == "/data"
    assert asked["to"] - asked["from"] == timedelta(days=30)
    expect(page.get_by_role("link", name="CSV")).to_have_attribute("href", f"{SITE}/series.csv?{query}")
    assert page.url.endswith(query)
    page.get_by_text("The values as a table").click()
    rows = page.locator("[data-series-tables] tbody tr")
    expect(rows).to_have_count(48)
    expect(rows.nth(5)).to_contain_text("none")
    expect(rows.nth(8)).to_contain_text("Sale <1>")
    expect(rows.nth(47)).to_contain_text("2 Nov 2026, 23:0014713814780180the most")


def test_times_are_the_readers_with_the_name_of_the_zone_and_days_are_those_of_utc(page):
    says = page.locator("[data-series-says]")
    expect(says).to_contain_text("(UTC), by the day (UTC)")
    page.answers.zone = "Europe/Stockholm"
    page.reload()
    expect(says).to_contain_text(
        "1 Nov 2026, 01:00 to 31 Dec 2026, 01:00 (Europe/Stockholm), by the day (UTC)"
    )
    expect(says).to_contain_text("on 30 Dec 2026.")
    page.get_by_text("The values as a table").click()
    page.get_by_role("button", name="Closer").click()
    expect(says).to_contain_text("1 Nov 2026, 01:00 to 3 Nov 2026, 01:00 (Europe/Stockholm), by the hour")
    expect(page.locator("[data-series-tables] thead th").first).to_have_text("Time (Europe/Stockholm)")


def test_two_days_read_the_time_of_day_and_each_new_day(page):
    page.evaluate("written.length = 0")
    page.get_by_role("button", name="Closer").click()
    expect(page.locator("[data-series-says]")).to_contain_text("by the hour")
    page.wait_for_function("written.length > 0")
    page.wait_for_timeout(100)
    found = page.evaluate("written")
    assert "12:00" in found
    assert "2 Nov" in found, "the day stands below the time at which it begins"
    assert found.count("2 Nov") <= found.count("12:00"), "and not below every tick"
    assert "requests/s" in found, "the axis says what it counts"


def test_bands_have_their_colour_in_the_legend(page):
    for label in ("least", "usual from", "95 % to"):
        mark = page.locator(".u-legend tr", has_text=label).first.locator(".u-marker")
        assert mark.evaluate("one => getComputedStyle(one).backgroundColor") != "rgba(0, 0, 0, 0)", label


def test_the_day_that_is_left_out_is_said(page):
    expect(page.locator("[data-series-says]")).to_contain_text("Today (UTC) is not over and left out.")


def test_the_chart_is_led_by_keyboard(page):
    chart = page.get_by_role("application")
    chart.focus()
    for key, days in (("+", 30), ("Home", 60), ("-", 2 * 60)):
        before = len(page.answers.asked)
        page.keyboard.press(key)
        while len(page.answers.asked) == before:
            page.wait_for_timeout(20)
        expect(chart).not_to_have_attribute("aria-busy", "true")
        asked = parse_qs(page.answers.asked[-1].split("?")[1])
        length = datetime.fromisoformat(asked["to"][0]) - datetime.fromisoformat(asked["from"][0])
        if key != "-":
            assert length == timedelta(days=days)
        else:
            assert length < timedelta(days=days), "it shows nothing of days to come"


def test_a_stretch_that_is_dragged_over_is_zoomed_into(page):
    box = page.locator(".series .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=5)
    page.mouse.up()
    expect(page.locator("[data-series-says]")).to_contain_text("by the hour")
    assert page.answers.asked[-1].startswith("/data?from=2026-11-1")


def test_the_picture_is_saved_as_png(page):
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as PNG").click()
    assert saved.value.suggested_filename == "requests_per_s.png"
    assert Path(saved.value.path()).read_bytes().startswith(b"\x89PNG")


def test_a_slider_moves_its_number_and_the_answer_comes_at_once(page):
    page.get_by_role("slider", name=re.compile("Growth")).fill("7.5")
    expect(page.locator("#answer")).to_have_text("7.5 %")
    expect(page.locator("input[name=growth][type=number]")).to_have_value("7.5")
    page.locator("input[name=growth][type=number]").fill("2")
    expect(page.locator("#answer")).to_have_text("2 %")
    assert all("part=answer" in one for one in page.answers.asked if one.startswith("/what-if"))


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844), (360, 740)])
def test_the_answer_is_seen_whichever_slider_is_moved(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{SITE}/what-if-page")
    for name in ("Growth", "An event", "Stays free", "Servers"):
        slider = page.get_by_role("slider", name=re.compile(name))
        slider.focus()
        slider.scroll_into_view_if_needed()
        expect(slider).to_be_in_viewport(ratio=1)
        for word in ("Needed", "6 servers last until", "An event of 9 times normal"):
            expect(page.locator("#answer dt", has_text=word)).to_be_in_viewport(ratio=1)
        (x, y, wide, high) = (slider.bounding_box()[side] for side in ("x", "y", "width", "height"))
        reached = page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).type", [x + wide / 2, y + high / 2]
        )
        assert reached == "range", "the answer does not lie over the slider"
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_drawn_chart_and_its_table_are_there(browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.route("**/*", Answers())
    page.goto(f"{SITE}/")
    expect(page.locator(".zoom-still svg").first).to_be_visible()
    page.locator("summary").click()
    expect(page.locator("[aria-label$=': values'] tbody tr")).to_have_count(60)
    expect(page.locator("[aria-label$=': forecast'] tbody tr")).to_have_count(7)
    expect(page.locator("[data-series-says]")).to_contain_text("The most was 159 requests/s on 30 Dec 2026.")
    expect(page.get_by_role("slider")).to_have_count(0)
    context.close()
