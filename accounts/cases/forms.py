"""What people type about a case."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.cases.orders import OrderKind
from accounts.cases.services import CHECKS, LONGEST_SUMMARY, LONGEST_TEXT
from accounts.cases.states import MOVES, CaseStatus, Severity
from accounts.contacts.proving import numbers_of
from accounts.models import Account, Contact

_SEVERITIES = (
    (Severity.SITE_IN_DANGER.value, "Site in danger: it is down or about to be. Wakes people now, in order."),
    (Severity.DECIDE_TODAY.value, "Decide today: somebody must decide, the site is up."),
    (Severity.SAFE_WAITING.value, "Safe, waiting: a question, or something that can wait."),
)


MOST_CHOICES = 100


class CaseForm(forms.Form):
    """A call for help."""

    summary = forms.CharField(label="What is it about?", max_length=LONGEST_SUMMARY)
    severity = forms.ChoiceField(
        label="How bad is it?",
        choices=_SEVERITIES,
        widget=forms.RadioSelect,
        initial=Severity.SAFE_WAITING.value,
    )
    text = forms.CharField(
        label="What happened, and what you need",
        required=False,
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text="Put no password and no key here.",
    )


class ReplyForm(forms.Form):
    """An answer, and where the case goes with it."""

    text = forms.CharField(
        label="Your answer", max_length=LONGEST_TEXT, widget=forms.Textarea(attrs={"rows": 5})
    )
    then = forms.ChoiceField(label="And then", required=False)

    def __init__(self, data: Any = None, *, status: str, may_end: bool) -> None:
        super().__init__(data)
        then = self.fields["then"]
        assert isinstance(then, forms.ChoiceField)
        over = {CaseStatus.SOLVED, CaseStatus.CLOSED}
        then.choices = [
            ("", "leave it as it is"),
            *(
                (one.value, f"set it to {one.label}")
                for one in CaseStatus
                if one in MOVES[CaseStatus(status)] and (may_end or one not in over)
            ),
        ]


class SpokenOrderForm(forms.Form):
    """An order that came by voice, and how it was made sure who spoke."""

    contact = forms.ChoiceField(label="Who spoke")
    kind = forms.ChoiceField(
        label="What kind of order it is",
        choices=[("", "choose one"), *OrderKind.choices],
        help_text="Whoever is only informed orders nothing; to delete or to spend takes somebody who decides that.",
    )
    order = forms.CharField(
        label="What was ordered, as it was said",
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": 4}),
    )
    check = forms.ChoiceField(
        label="How you made sure",
        choices=list(CHECKS.items()),
        widget=forms.RadioSelect,
        help_text="An order is valid after a call-back on a proven number, or after the agreed check.",
    )
    number = forms.ChoiceField(label="The number that you called back", required=False)
    read_back = forms.BooleanField(
        label="I read the order back, and was told that it is right", required=False
    )

    def __init__(self, data: Any = None, *, account: Account) -> None:
        super().__init__(data)
        self.contacts = {
            # Those who are called first: a list that nobody could read through helps nobody.
            str(one.ref): one
            for one in Contact.objects.filter(account=account).order_by("escalation_order", "pk")[
                :MOST_CHOICES
            ]
        }
        contact, number = self.fields["contact"], self.fields["number"]
        assert isinstance(contact, forms.ChoiceField)
        assert isinstance(number, forms.ChoiceField)
        contact.choices = [
            (ref, f"{one.name} ({one.get_authority_display()})") for ref, one in self.contacts.items()
        ]
        number.choices = [
            ("", "none"),
            *(
                (phone, f"{phone} ({one.name})")
                for one in self.contacts.values()
                for phone in numbers_of(one)
            ),
        ]

    def clean(self) -> dict[str, Any]:
        """A call-back names the number, and the number is the contact's."""
        given = super().clean() or self.cleaned_data
        contact = self.contacts.get(given.get("contact", ""))
        if (
            given.get("check") == "call_back"
            and contact is not None
            and given.get("number") not in numbers_of(contact)
        ):
            self.add_error("number", "Choose the number of this very contact that you called back.")
        return given
