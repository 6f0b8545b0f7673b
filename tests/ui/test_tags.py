"""What the template tags put on a page, read as meaning and not as markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from django import forms
from django.template import Context, Template
from django.template.loader import get_template, render_to_string

from portal.errors import in_time
from portal.templatetags import ui
from portal.templatetags.ui import duration, ms, share
from portal.ui import nav
from portal.ui.lanes import Lane
from portal.ui.views import sample_context

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
NASTY = '"><script>alert(1)</script>'


class Reader(HTMLParser):
    """Collects text, elements with their attributes, and the ids."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words)).strip()

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def show(source: str, **context) -> Reader:
    return Reader(Template("{% load ui %}" + source).render(Context(context)))


class PlanForm(forms.Form):
    name = forms.CharField(label="Name", help_text="How it is called.")
    mode = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)
    hold = forms.BooleanField(label="Hold", required=False)


def test_a_state_shows_its_word_and_its_plain_words_on_a_customers_page():
    assert show("{% state 'halted' %}").text == "halted"
    assert show("{% state 'halted' %}", plain_words=True).text == "paused for safety"
    assert show("{% state 'halted' plain=False %}", plain_words=True).text == "halted"


def test_a_moment_is_written_in_full_as_utc_for_browsers_without_scripts():
    berlin = timezone(timedelta(hours=1))
    shown = show("{% when at %}", at=NOW.astimezone(berlin))
    assert shown.text == "2026-11-24 12:00:00 UTC"
    assert shown.all("time")[0]["datetime"] == "2026-11-24T12:00:00+00:00"


def test_a_moment_that_has_not_come_is_a_word():
    assert show("{% when at none='never confirmed' %}", at=None).text == "never confirmed"


def test_a_time_without_zone_is_a_bug_and_stays_loud():
    with pytest.raises(ValueError, match="no time zone"):
        show("{% when at %}", at=datetime(2026, 1, 1))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (150, "2 min 30 s"),
        (3600, "1 h 00 min"),
        (90061, "1 d 1 h"),
        (timedelta(minutes=15), "15 min"),
    ],
)
def test_lengths_of_time_read_as_words(seconds, text):
    assert duration(seconds) == text


def test_an_unknown_figure_is_a_word_and_zero_is_a_number():
    assert "unknown" in show("{% figure 'Open' value %}", value=None).text
    assert show("{% figure 'Open' value %}", value=0).text == "Open 0"
    assert show("{{ value|known:'not reported' }}", value=None).text == "not reported"
    assert show("{{ value|known:'not reported' }}", value=0).text == "0"
    assert share(None) == "unknown"
    assert share(0.125, 1) == "12.5 %"
    assert [ms(one) for one in (None, 0, 0.25, 0.004, 1.0, 7.25, 1234)] == [
        "unknown",
        "0 ms",
        "0.25 ms",
        "0.004 ms",
        "1 ms",
        "7.2 ms",
        "1\u202f234 ms",
    ]


def test_a_field_ties_help_and_errors_to_its_input_and_keeps_what_was_typed():
    form = PlanForm({"name": "", "mode": "x"})
    shown = show("{% field form.name %}", form=form)
    (given,) = shown.all("input")
    ids = {attrs["id"] for _, attrs in shown.elements if "id" in attrs}
    assert set((given["aria-describedby"] or "").split()) == {"id_name_help", "id_name_error"} <= ids
    assert given["aria-invalid"] == "true"
    assert "This field is required." in shown.text
    kept = show("{% field form.name %}", form=PlanForm({"name": NASTY}))
    assert kept.all("input")[0]["value"] == NASTY


def test_a_group_of_choices_is_a_fieldset_with_a_legend():
    shown = show("{% field form.mode %}", form=PlanForm())
    assert [name for name, _ in shown.elements][:2] == ["fieldset", "legend"]


def test_a_checkbox_is_labelled_by_its_own_words():
    shown = show("{% field form.hold %}", form=PlanForm())
    assert shown.text == "Hold"
    assert shown.all("input")[0]["type"] == "checkbox"


def test_the_summary_of_errors_leads_to_each_field():
    shown = show("{% form_errors form %}", form=PlanForm({"mode": "a"}))
    assert "One thing needs your attention" in shown.text
    assert shown.all("a")[0]["href"] == "#id_name"
    assert show("{% form_errors form %}", form=PlanForm()).text == ""


def test_a_command_is_a_post_with_token_and_what_belongs_to_it():
    shown = show("{% command '/runs/1/pause' 'Pause after this server' mode='after' %}", csrf_token="tok")
    (form,) = shown.all("form")
    assert form["method"] == "post"
    sent = {given["name"]: given["value"] for given in shown.all("input")}
    assert sent == {"csrfmiddlewaretoken": "tok", "mode": "after"}
    assert shown.text == "Pause after this server"


def test_a_refused_command_says_why_and_cannot_be_sent():
    shown = show("{% command '/x' 'Start' refused='The window opens at 14:00.' %}")
    assert not shown.all("form")
    (button,) = shown.all("button")
    assert button["type"] == "button"
    assert button["aria-disabled"] == "true"
    assert shown.text == "Start The window opens at 14:00."


def test_a_dangerous_command_leads_to_a_page_that_asks_when_no_script_runs():
    shown = show("{% command '/x' 'Abort…' dialog='abort' confirm_url='/x/confirm' %}")
    assert shown.all("a")[0]["href"] == "/x/confirm"
    assert shown.all("a")[0]["data-open-dialog"] == "abort"


def test_a_name_to_type_is_matched_exactly():
    shown = show(
        "{% confirm_dialog id='d' title='Abort?' action='/x' button='Abort' type_name='web-1.(a)' %}text{% endconfirm_dialog %}"
    )
    typed = next(given for given in shown.all("input") if given["name"] == "typed_name")
    assert typed["pattern"] == r"web-1\.\(a\)"
    assert "required" in typed


@pytest.mark.parametrize(
    "source",
    [
        "{% state value %}",
        "{% ref value %}",
        "{% crumbs value '/x' value as c %}{{ c }}",
        "{% page_header title=value lede=value %}{% endpage_header %}",
        "{% alert 'bad' title=value %}{% endalert %}",
        "{% empty title=value %}{% endempty %}",
        "{% figure value value unit=value source=value %}",
        "{% command value value reason='optional' leaves=value extra=value %}",
        "{% confirm_dialog id='d' title=value action=value button=value type_name=value %}{% endconfirm_dialog %}",
    ],
)
def test_text_from_people_is_escaped_everywhere(source):
    shown = show(source, value=NASTY)
    assert not shown.all("script")


def test_a_lane_says_that_no_count_is_known_instead_of_zero():
    row = Lane(ref="a", name="web-11", phase="draining", grade="timed", source="waiting time")
    shown = show("{% lane row %}", row=row)
    assert "no count" in shown.text
    assert not re.search(r"\b0\b", shown.text)
    counted = show("{% lane row %}", row=Lane(ref="a", name="web-11", phase="held", connections=0))
    assert "0 open" in counted.text


def test_the_journal_says_when_nothing_has_happened():
    assert "Nothing has happened yet" in show("{% journal entries %}", entries=[]).text


def test_the_first_journal_entry_of_a_run_is_shown_with_its_time_of_day():
    entry = SimpleNamespace(seq=0, at=NOW, text="Started", tone="move", who="", subject="web-1")
    shown = show("{% journal entries %}", entries=[entry])
    assert "12:00:00" in shown.text
    assert any(attrs.get("id") == "j-0" for _, attrs in shown.elements)


def test_the_navigation_shows_only_what_the_user_is_offered():
    nav.register(nav.NavItem("t-a", "Everyone's", "dashboard", order=1))
    nav.register(nav.NavItem("t-b", "Leads only", "dashboard", order=2, shown_to=lambda user: user.lead))
    try:
        user = SimpleNamespace(is_authenticated=True, lead=False)
        labels = [item.label for item in nav.items_for(user)]
        assert "Everyone's" in labels
        assert "Leads only" not in labels
    finally:
        nav.unregister("t-a")
        nav.unregister("t-b")


def style_guide() -> str:
    user = SimpleNamespace(
        is_authenticated=True,
        get_full_name="Mara Lindqvist",
        get_short_name="Mara",
        get_username="mara@steady.example",
        time_zone="Europe/Berlin",
    )
    return render_to_string(
        "styleguide.html", {**sample_context(NOW), "request": SimpleNamespace(user=user, path="/")}
    )


ERRORS = [
    "400.html",
    "403.html",
    "403_csrf.html",
    "404.html",
    "500.html",
    "errors/409.html",
    "errors/429.html",
]


@pytest.mark.parametrize("page", ["styleguide", *ERRORS, "registration/login.html"])
def test_no_page_holds_what_the_content_security_policy_refuses(page):
    markup = style_guide() if page == "styleguide" else get_template(page).render({"form": None})
    shown = Reader(markup)
    for tag, attrs in shown.elements:
        assert "style" not in attrs, tag
        assert not [name for name in attrs if name.startswith("on")], tag
        if tag == "script" and attrs.get("type") != "application/json":  # data is not run
            assert attrs.get("src"), "an inline script"
        for name in ("src", "href", "action"):
            assert not re.match(r"(https?:)?//", attrs.get(name) or ""), attrs
    assert not shown.all("style")


def test_every_id_on_the_style_guide_is_there_once_and_every_reference_leads_to_one():
    shown = Reader(style_guide())
    ids = [attrs["id"] for _, attrs in shown.elements if "id" in attrs]
    assert sorted(ids) == sorted(set(ids))
    for _, attrs in shown.elements:
        for name in ("aria-describedby", "aria-labelledby", "aria-controls", "for"):
            for target in (attrs.get(name) or "").split():
                assert target in ids, (name, target)


def test_alarms_stand_on_every_page_that_has_them():
    shown = Reader(style_guide())
    assert "Everything stopped: account Nordwind Outfitters." in shown.text
    assert "The engine is asleep" in shown.text
    assert "2 runs overdue" in shown.text
    assert "1 node left draining" in shown.text


@pytest.mark.parametrize("page", ERRORS)
def test_an_error_page_says_what_is_true_now_and_where_to_go(page):
    text = Reader(get_template(page).render({})).text
    assert "Nothing was changed" in text or "Runs in progress" in text
    assert "Go to the start page" in text


def test_a_refusal_shows_its_own_sentence():
    text = Reader(get_template("errors/409.html").render({"refusal": "Bo approved it 3 s ago."})).text
    assert "Bo approved it 3 s ago." in text


def test_the_log_in_form_keeps_the_mail_address_and_the_page_asked_for():
    class LoginForm(forms.Form):
        username = forms.CharField()
        password = forms.CharField()

    form = LoginForm({"username": "mara@steady.example", "password": "x"})
    form.is_valid()
    form.add_error(None, "Mail address and password do not fit together.")
    shown = Reader(get_template("registration/login.html").render({"form": form, "next": "/accounts/"}))
    sent = {given["name"]: given.get("value") for given in shown.all("input") if "name" in given}
    assert sent["username"] == "mara@steady.example"
    assert sent["next"] == "/accounts/"
    assert sent["password"] is None
    assert "do not fit together" in shown.text


def test_the_style_guide_is_a_page_of_the_desk_only(settings, rf):
    from django.contrib.auth.models import AnonymousUser
    from django.http import Http404

    from portal.ui.views import styleguide

    request = rf.get("/styleguide")
    request.user = AnonymousUser()
    settings.DESK_MODE = True
    assert styleguide(request).status_code == 200
    settings.DESK_MODE = False
    with pytest.raises(Http404):
        styleguide(request)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0.2, "in 1 second"),
        (59, "in 59 seconds"),
        (60, "in 1 minute"),
        (61, "in 2 minutes"),
        (3599, "in 60 minutes"),
        (3601, "in 2 hours"),
    ],
)
def test_when_to_come_again_is_said_in_plain_words_and_never_too_soon(seconds, says):
    assert in_time(seconds) == says


def test_who_has_no_log_in_reads_times_in_the_zone_of_the_mail():
    shown = ui.when_there(datetime(2026, 11, 27, 15, 30, tzinfo=UTC), "Europe/Stockholm")
    assert ">2026-11-27 16:30 CET<" in shown
    assert "data-when" not in shown
