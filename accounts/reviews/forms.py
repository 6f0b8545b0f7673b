"""Shape and validity of what people type about reviews and action items. What may be done is for the services."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID

from django import forms

from accounts.members import who_reach
from accounts.models import Account, Contact, User
from accounts.reviews import selectors
from accounts.reviews.models import ReviewItem
from accounts.reviews.services import LONGEST_TITLE
from accounts.reviews.template import LONGEST_QUESTION, MOST_OWN_ITEMS

MOST_CHOICES = 100


class DayInput(forms.DateInput):
    """A day, chosen in the browser's own calendar."""

    input_type = "date"

    def __init__(self, **options: Any) -> None:
        super().__init__(format="%Y-%m-%d", **options)


class ReviewForm(forms.Form):
    """When a review is held, by whom, and who takes part for the customer."""

    held_on = forms.DateField(label="Held on", widget=DayInput)
    owner = forms.ModelChoiceField(
        User.objects.none(),
        label="Held by",
        to_field_name="ref",
        help_text="A launch manager of the account.",
    )
    participant = forms.ModelChoiceField(
        Contact.objects.none(),
        label="Takes part for the customer",
        to_field_name="ref",
        required=False,
        empty_label="nobody yet",
    )

    def __init__(self, *args: Any, account: Account, **options: Any) -> None:
        super().__init__(*args, **options)
        owners: Any = self.fields["owner"]
        owners.queryset = (
            User.objects.filter(team_memberships__team_id=account.team_id, is_active=True)
            .distinct()
            .order_by("name", "pk")
        )
        contacts: Any = self.fields["participant"]
        listed = Contact.objects.filter(account=account).order_by("escalation_order", "pk")
        # A list of choices that nobody could read through helps nobody: those who are called first stand in it.
        contacts.queryset = Contact.objects.filter(pk__in=listed.values("pk")[:MOST_CHOICES]).order_by(
            "escalation_order", "pk"
        )


class ScheduleForm(forms.Form):
    """How often an account is reviewed, and when next."""

    interval_days = forms.IntegerField(
        label="Every so many days", min_value=7, max_value=730, help_text="7 to 730; 90 is usual."
    )
    next_on = forms.DateField(
        label="Next on", widget=DayInput, required=False, help_text="Set anew when a review is signed."
    )


ANSWERS = (("", "not answered"), ("green", "green"), ("amber", "amber"), ("red", "red"))


class AnswerForm(forms.Form):
    """The answer to one item, by hand, and notes on it. What live data answers takes notes only."""

    grade = forms.ChoiceField(choices=ANSWERS, required=False, label="Answer", widget=forms.RadioSelect)
    reason = forms.CharField(
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="Why",
        help_text="Needed for amber and red.",
    )
    notes = forms.CharField(
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        label="Notes",
        help_text="Shared with the customer.",
    )

    def __init__(self, *args: Any, item: ReviewItem, is_live: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if is_live:
            del self.fields["grade"], self.fields["reason"]
        self.initial = {"grade": item.grade, "reason": item.reason, "notes": item.notes, **self.initial}


def owner_choices(account: Account, today: date) -> list[tuple[str, Any]]:
    """Return who can be given something to do: users with access, and contacts who are confirmed."""
    users = User.objects.filter(memberships__account=account, is_active=True).order_by("name", "pk")
    team = User.objects.filter(team_memberships__team_id=account.team_id, is_active=True).order_by(
        "name", "pk"
    )
    contacts = selectors.proven_contacts(account, today)
    groups = (
        ("Customer, with a log-in", [(f"user:{one.ref}", one.name) for one in users.distinct()]),
        ("Launch managers", [(f"user:{one.ref}", one.name) for one in team.distinct()]),
        ("Contacts, proven", [(f"contact:{one.ref}", one.name) for one in contacts]),
    )
    return [("", "choose somebody"), *((label, people) for label, people in groups if people)]


def owner_of(account: Account, value: str) -> dict[str, Any]:
    """Return the owner that a choice names, as the service takes it; neither where it names nobody."""
    kind, _, ref = value.partition(":")
    try:
        known = UUID(ref)
    except ValueError:
        return {"owner_user": None, "owner_contact": None}
    if kind == "contact":
        return {
            "owner_user": None,
            "owner_contact": Contact.objects.filter(account=account, ref=known).first(),
        }
    return {"owner_user": who_reach(account).filter(ref=known).first(), "owner_contact": None}


class ActionForm(forms.Form):
    """Something that somebody does by a date."""

    title = forms.CharField(max_length=LONGEST_TITLE, label="What is to be done")
    owner = forms.ChoiceField(
        label="By whom",
        help_text="Somebody with a log-in, or a contact who is proven: reminders must arrive.",
    )
    due_on = forms.DateField(label="By when", widget=DayInput)

    def __init__(self, *args: Any, account: Account, today: date, **options: Any) -> None:
        super().__init__(*args, **options)
        self.account = account
        owners: Any = self.fields["owner"]
        owners.choices = owner_choices(account, today)

    def wanted(self) -> dict[str, Any]:
        """Return what was typed as the service takes it."""
        data = self.cleaned_data
        return {
            "title": data["title"],
            "due_on": data["due_on"],
            **owner_of(self.account, data["owner"]),
        }


class CloseForm(forms.Form):
    """How an action item ended."""

    state = forms.ChoiceField(
        choices=(("done", "done"), ("dropped", "dropped")), widget=forms.RadioSelect, label="It is"
    )
    outcome = forms.CharField(
        required=False,
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        label="What came of it",
        help_text="Needed if it is dropped. Shared with the customer.",
    )


class TeamItemsForm(forms.Form):
    """The items that a team adds to its reviews: one a line, the question after a bar."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    items = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 8}),
        label="Own items",
        help_text=f"One a line, at most {MOST_OWN_ITEMS}. A question may follow after a bar: “Certificates | Until when "
        f"do they hold?” (at most {LONGEST_QUESTION} characters).",
    )

    def wanted(self, known: Iterable[dict[str, str]]) -> list[dict[str, str]]:
        """Return the lines as items; one that keeps its title keeps its key, so that reviews stay comparable."""
        keys = {one["title"]: one["key"] for one in known}
        found = []
        for line in self.cleaned_data["items"].splitlines():
            title, _, question = (part.strip() for part in line.partition("|"))
            if title or question:
                found.append({"title": title, "question": question, "key": keys.get(title, "")})
        return found
