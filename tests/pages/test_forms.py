"""What people type, and what it means."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django import forms
from django.test.html import parse_html

from accounts.forms import ZoneField
from scaledown.candidates import Choice
from scaledown.forms import MomentField, PoolForm, SafetyForm, ShareField, SpanField
from scaledown.spans import span_text


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [
        ("90 s", 90),
        ("90", 90),
        ("15 min", 900),
        ("2 h 30 min", 9000),
        ("1 d", 86400),
        ("1.5 h", 5400),
        ("1,5 min", 90),
        ("0 s", 0),
        ("", None),
    ],
)
def test_a_length_of_time_is_read_as_people_write_it(typed, seconds):
    assert SpanField(required=False).clean(typed) == seconds


@pytest.mark.parametrize("typed", ["a while", "-5 s", "5 weeks", "61 d"])
def test_what_is_no_length_of_time_is_refused_with_a_sentence(typed):
    with pytest.raises(forms.ValidationError):
        SpanField().clean(typed)


@pytest.mark.parametrize("seconds", [0, 1, 90, 900, 5400.5, 90061])
def test_a_length_of_time_is_shown_as_it_can_be_typed(seconds):
    assert SpanField().clean(span_text(seconds)) == seconds


def test_a_moment_is_typed_in_the_zone_of_the_person():
    field = MomentField()
    field.zone = ZoneInfo("Europe/Stockholm")
    assert field.clean("2026-11-24T14:00") == datetime(2026, 11, 24, 13, 0, tzinfo=UTC)
    assert field.prepare_value(datetime(2026, 11, 24, 13, 0, tzinfo=UTC)) == datetime(2026, 11, 24, 14, 0)


def test_a_percentage_is_a_share():
    field = ShareField()
    assert field.clean("80") == 0.8
    assert field.prepare_value(0.8) == "80"


def test_what_the_forms_show_is_what_they_give_back():
    choice = Choice(balancer_ids=("71",), target=3, target_reason="A reason", soak_s=90.0, hold_s=3600.0)
    shown = SafetyForm(initial=SafetyForm.initial_of(choice))
    typed = {name: shown[name].value() or "" for name in shown.fields}
    form = SafetyForm({name: value for name, value in typed.items() if value is not False})
    assert form.is_valid(), form.errors
    assert form.onto(choice) == choice
    pool = PoolForm(PoolForm.initial_of(choice), balancers=[("71", "web")], liftable=[])
    assert pool.is_valid(), pool.errors
    assert pool.onto(choice) == choice


@pytest.mark.parametrize("chosen", ["Europe/Berlin", "UTC", "Mars/Olympus", "", None, '"><script>'])
@pytest.mark.parametrize(
    "attrs", [{"id": "id_zone"}, {"id": "id_zone", "aria-invalid": "true", "required": True}]
)
def test_the_list_of_time_zones_is_the_one_that_the_framework_draws(chosen, attrs):
    field = ZoneField(help_text="Times are shown in it.")
    plain = forms.Select(choices=field.choices)
    drawn = field.widget.render("zone", chosen, attrs)
    assert parse_html(drawn) == parse_html(plain.render("zone", chosen, attrs))
    assert (" selected" in drawn) is (chosen in ("Europe/Berlin", "UTC"))
