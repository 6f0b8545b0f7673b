"""The shape of what is typed to reach somebody."""

from __future__ import annotations

from django import forms

from accounts.models import ContactRole
from accounts.reach.models import ReachKind
from accounts.reach.services import LONGEST_MESSAGE


class ReachForm(forms.Form):
    """Whom to reach, what for, what to say, how long to wait."""

    kind = forms.ChoiceField(
        choices=[
            (ReachKind.TEST, "Reach test: measure who answers, and when"),
            (ReachKind.CALL, "Call for help: somebody is needed now"),
        ],
        initial=ReachKind.TEST,
        widget=forms.RadioSelect,
        label="What is it?",
    )
    role = forms.ChoiceField(choices=ContactRole.choices, initial=ContactRole.EMERGENCY, label="Whom")
    reason = forms.CharField(
        max_length=LONGEST_MESSAGE,
        label="Why",
        help_text="It stays on record: contacts serve support and nothing else.",
    )
    message = forms.CharField(
        max_length=LONGEST_MESSAGE,
        label="What they are told",
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="A mail and a text message say it; whoever calls reads it out.",
    )
    wait_minutes = forms.TypedChoiceField(
        coerce=int,
        choices=[(n, f"{n} minute{'s' if n > 1 else ''}") for n in (1, 2, 3, 5, 10, 15, 30)],
        initial=5,
        label="Wait for each answer",
    )
    tries = forms.TypedChoiceField(
        coerce=int,
        choices=[(1, "once"), (2, "twice"), (3, "three times")],
        initial=2,
        label="Ask each person",
    )
    with_asleep = forms.BooleanField(
        required=False,
        label="Also those for whom it is outside of their hours now",
        help_text="It may be night there.",
    )
