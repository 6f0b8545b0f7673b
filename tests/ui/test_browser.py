"""The scripts and styles in a real browser, under the portal's own content security policy.

Pages come from a small server of this module, so these tests need no database and no worker.
"""

from __future__ import annotations

import json
import mimetypes
import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings as django_settings
from django.template.loader import render_to_string
from playwright.sync_api import Browser, Page, expect

from portal.ui.views import sample_context
from tests import chromium

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[2]
AXE = (ROOT / "tests" / "vendor" / "axe.min.js").read_text()
USER = SimpleNamespace(
    is_authenticated=True,
    get_full_name="Mara Lindqvist",
    get_short_name="Mara",
    get_username="mara@steady.example",
    time_zone="Europe/Berlin",
)
LIVE = """{% extends "base.html" %}{% block content %}<h1>Live</h1>
<div hx-ext="sse,morph" sse-connect="/stream" sse-close="end">
  <span class="live" data-live="opening" role="status">connecting</span>
  <p id="part" sse-swap="part" hx-swap="innerHTML">nothing yet</p>
</div>{% endblock %}
{% block scripts %}{% include "components/live_scripts.html" %}{% endblock %}"""


class Site:
    """A server with the pages of the design system; it keeps what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.posted: list[dict[str, list[str]]] = []
        self.streams: queue.Queue[queue.Queue[str | None]] = queue.Queue()
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def page(self, path: str) -> str:
        from django.template import engines

        request = SimpleNamespace(user=USER, path=path)
        context = {**sample_context(datetime.now(UTC)), "request": request, "palette_url": "/palette"}
        if path == "/live":
            return engines["django"].from_string(LIVE).render({"request": request})
        if path == "/ask":
            asks = {"title": "Abort?", "text": "web-12 goes back.", "action": "/post", "button": "Abort"}
            return render_to_string(
                "components/confirm_page.html",
                {**asks, "back_url": "/", "type_name": "web-12", "request": request},
            )
        if path.startswith("/error/"):
            return render_to_string(f"errors/{path.rsplit('/', 1)[1]}.html", {"request": request})
        return (
            render_to_string("styleguide.html", context)
            .replace('action="#"', 'action="/post"')
            .replace('href="#sample-abort"', 'href="/ask"')
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self
        policy = "; ".join(
            f"{name} {' '.join(values)}"
            for name, values in django_settings.CONTENT_SECURITY_POLICY["DIRECTIVES"].items()
        )

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Stay quiet."""

            def answer(self, body: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Security-Policy", policy)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                site.asked.append(self.path)
                if path.startswith("/static/"):
                    file = ROOT / path.lstrip("/")
                    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                    self.answer(file.read_bytes(), kind)
                elif path == "/stream":
                    self.stream()
                elif path == "/palette":
                    found = [
                        {"label": "Nordwind plan 17", "url": "/found", "hint": "plan"},
                        {"label": "Nordwind elsewhere", "url": "https://example.com/", "hint": "plan"},
                    ]
                    words = parse_qs(urlsplit(self.path).query)["q"][0].split()
                    found = [item for item in found if all(word in item["label"].lower() for word in words)]
                    self.answer(json.dumps({"items": found}).encode(), "application/json")
                else:
                    self.answer(site.page(path).encode(), "text/html; charset=utf-8")

            def stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                events: queue.Queue[str | None] = queue.Queue()
                site.streams.put(events)
                while (event := events.get()) is not None:
                    self.wfile.write(event.encode())
                    self.wfile.flush()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                site.posted.append(parse_qs(body, keep_blank_values=True))
                site.may_answer.wait()
                self.answer(b"<!doctype html><title>sent</title><p>sent", "text/html")

        return Handler

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.browser() as started:
        yield started


@pytest.fixture
def site() -> Iterator[Site]:
    running = Site()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, timezone_id="UTC")
    opened = context.new_page()
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(site.url + "/")
    yield opened
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("path", ["/", "/ask", "/live", "/error/404"])
def test_axe_finds_nothing(browser, site, path, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(site.url + path)
    expect(page.locator("html")).to_have_attribute("data-bs-theme", scheme)
    page.add_script_tag(content=AXE)
    found = page.evaluate("axe.run()")
    context.close()
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found["violations"]] == []


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 2560])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_file_is_chosen_within_the_window_of_a_small_phone(browser, site):
    phone = browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = phone.new_page()
    page.goto(site.url + "/")
    page.evaluate("""() => {
        const form = document.createElement("form");
        form.className = "panel";
        form.innerHTML = `<div class="panel-body form"><div class="field"><label for="f">File</label><input type="file" id="f"></div></div>`;
        document.querySelector("main").append(form);
    }""")
    right = page.evaluate("document.querySelector('#f').getBoundingClientRect().right")
    phone.close()
    assert right <= 360 - 16


def test_a_sentence_beside_a_number_and_a_long_name_wrap_in_cards(page):
    page.set_viewport_size({"width": 390, "height": 800})
    wide = page.evaluate("""() => {
        const table = document.createElement("table");
        table.className = "data data-cards";
        table.innerHTML = `<tbody><tr><th scope="row">${"Jubiläumsverkaufswochenende".repeat(3)}</th>
          <td class="r" data-label="Servers">unknown<div class="small soft">more than the pool’s own limit: no number of servers carries it</div></td></tr></tbody>`;
        document.querySelector("main").append(table);
        return [...table.querySelectorAll("th, td")].map(one => one.scrollWidth - one.clientWidth);
    }""")
    assert max(wide) <= 0


def test_the_policy_refuses_nothing_that_we_load(page):
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    assert page.said == []


def test_the_chosen_theme_stays_and_the_system_is_followed_without_one(page):
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.locator("summary.tool-user").click()
    page.get_by_role("button", name="Light").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "light")


def test_times_become_relative_with_the_exact_moment_in_the_viewers_zone(page):
    moment = page.locator(".figure time").first
    expect(moment).to_have_text("just now")
    title = moment.get_attribute("title") or ""
    assert " · " in title
    assert "UTC" in title


def test_escape_closes_the_menu_and_gives_the_focus_back(page):
    page.locator("summary.tool-user").click()
    page.keyboard.press("Escape")
    expect(page.locator("details.menu")).not_to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.matches('summary.tool-user')")


def test_the_first_tab_leads_to_the_content(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_dialog_asks_for_the_name_before_anything_is_sent(page, site):
    page.get_by_role("link", name="Abort the run…").click()
    dialog = page.get_by_role("dialog", name="Abort the run?")
    expect(dialog).to_be_visible()
    dialog.get_by_label("Type web-12 to confirm").fill("web-1")
    dialog.get_by_role("button", name="Abort and put 2 servers back").click()
    expect(dialog).to_be_visible()
    assert site.posted == []
    dialog.get_by_label("Type web-12 to confirm").fill("web-12")
    dialog.get_by_role("button", name="Abort and put 2 servers back").click()
    expect(page.get_by_text("sent")).to_be_visible()
    assert site.posted[0]["typed_name"] == ["web-12"]
    assert site.posted[0]["confirmed"] == ["1"]


def test_closing_a_dialog_returns_to_the_button_that_opened_it(page):
    opener = page.get_by_role("link", name="Abort the run…")
    opener.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Abort the run?")).to_be_visible()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_a_doubled_click_sends_once(page, site):
    site.may_answer.clear()
    # The second click comes while the first is under way and the page still stands there.
    page.get_by_role("button", name="Pause after this server").evaluate(
        "button => new Promise(done => {"
        " button.click(); setTimeout(() => { button.click(); done(); }, 200); })"
    )
    site.may_answer.set()
    expect(page.get_by_text("sent")).to_be_visible()
    assert len(site.posted) == 1


def test_the_palette_finds_links_of_the_page_and_what_the_server_knows(page, site):
    page.keyboard.press("Control+k")
    page.keyboard.type("contacts")
    expect(page.locator("#palette .palette-none")).to_be_visible()
    page.locator("#palette input").fill("abort")
    expect(page.locator("#palette [role=option]")).to_have_text("Abort the run…on this page")
    page.locator("#palette input").fill("nordwind plan")
    expect(page.locator("#palette [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/found")


def test_the_palette_offers_no_address_of_another_host(page):
    page.keyboard.press("Control+k")
    page.keyboard.type("nordwind")
    expect(page.get_by_role("option", name="Nordwind plan 17")).to_be_visible()
    assert page.locator("#palette a[href*='example.com']").count() == 0


def test_the_question_mark_lists_the_shortcuts(page):
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Find a page")


def test_g_then_d_leads_to_the_dashboard(page, site):
    page.goto(site.url + "/error/404")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url(site.url + "/")


def test_a_question_mark_typed_into_a_field_stays_there(page):
    page.locator("#id_name").focus()
    page.keyboard.type("why?")
    expect(page.locator("#id_name")).to_have_value("why?")
    assert page.locator("dialog[open]").count() == 0


def test_leaving_a_changed_form_asks_and_an_unchanged_one_does_not(page, site):
    asked = []

    def answer(dialog):
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.goto(site.url + "/error/404")
    assert asked == []
    page.goto(site.url + "/")
    page.locator("#id_name").click()
    page.keyboard.type("Autumn")
    page.goto(site.url + "/error/404")
    assert asked == ["beforeunload"]


def test_a_reference_is_copied_in_full(page, site):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
    page.get_by_role("button", name="Copy 5f0c6f0e-6f6f-4d0a-9f43-2b6a7c1f0a11").click()
    expect(page.locator("#say")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "5f0c6f0e-6f6f-4d0a-9f43-2b6a7c1f0a11"


def test_a_stream_fills_its_part_closes_while_hidden_and_goes_on_after_the_last_event(page, site):
    page.goto(site.url + "/live")
    first = site.streams.get(timeout=5)
    expect(page.locator("[data-live]")).to_have_text("live")
    first.put("id: 7\nevent: part\ndata: <b>12 open</b>\n\n")
    expect(page.locator("#part")).to_have_text("12 open")
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(page.locator("[data-live]")).to_have_text("paused while hidden")
    first.put(None)
    assert site.streams.empty()
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    second = site.streams.get(timeout=5)
    assert site.asked[-1] == "/stream?last_event_id=7"
    second.put("id: 8\nevent: part\ndata: <b>9 open</b>\n\n")
    expect(page.locator("#part")).to_have_text("9 open")
    second.put("event: end\ndata: over\n\n")
    expect(page.locator("[data-live]")).to_have_text("ended")
    second.put(None)
    assert page.said == []


def test_a_stream_cut_off_is_opened_again_by_itself(page, site):
    page.goto(site.url + "/live")
    first = site.streams.get(timeout=5)
    first.put("retry: 50\nid: 3\nevent: part\ndata: one\n\n")
    expect(page.locator("#part")).to_have_text("one")
    first.put(None)
    second = site.streams.get(timeout=5)
    second.put("id: 4\nevent: part\ndata: two\n\n")
    expect(page.locator("#part")).to_have_text("two")
    expect(page.locator("[data-live]")).to_have_text("live")
    second.put(None)


def test_a_chart_can_be_zoomed_by_keyboard_and_keeps_its_table(page):
    page.get_by_role("button", name="Zoom into this chart").click()
    expect(page.locator(".zoom canvas")).to_be_visible()
    expect(page.get_by_role("button", name="Closer")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Whole range").click()
    page.get_by_text("The values as a table").click()
    expect(page.locator(".zoom table.data")).to_contain_text("unknown")
    assert page.said == []


def test_without_scripts_times_are_in_full_and_dangerous_commands_ask_on_a_page(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.url + "/")
    expect(page.locator(".figure time").first).to_contain_text("UTC")
    expect(page.locator("[data-open-palette]")).to_be_hidden()
    page.locator("a", has_text="Abort the run…").click()
    page.get_by_label("Type web-12 to confirm").fill("web-12")
    page.get_by_role("button", name="Abort").click()
    expect(page.get_by_text("sent")).to_be_visible()
    context.close()
    assert site.posted[0]["typed_name"] == ["web-12"]


def test_the_page_prints_without_its_controls_and_with_exact_times(page):
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator(".figure time").first).not_to_have_text("just now")
    expect(page.locator("header.top")).to_be_hidden()
    expect(page.get_by_role("button", name="Pause after this server")).to_be_hidden()
    expect(page.locator("h1")).to_be_visible()
