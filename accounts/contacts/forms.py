"""Shape and validity of what people type about contacts. What may be done is for the services."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.forms import ZoneField
from accounts.models import Contact, ContactRole

# E.164, as the database holds it.
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")


class ContactForm(forms.ModelForm):
    """A person to call."""

    roles = forms.MultipleChoiceField(
        choices=ContactRole.choices,
        widget=forms.CheckboxSelectMultiple,
        label="Called for",
        required=False,
    )
    time_zone = ZoneField()
    escalation_order = forms.IntegerField(
        min_value=1, max_value=999, initial=1, label="Order of call", help_text="1 is called first."
    )
    phone = forms.CharField(
        max_length=40,
        required=False,
        label="Phone",
        help_text="With country code, like +493012345678.",
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off"}),
    )

    class Meta:
        model = Contact
        fields = ("name", "title", "roles", "email", "phone", "time_zone", "escalation_order", "notes")
        labels = {
            "email": "Mail address",
            "notes": "Notes (shared with the customer)",
        }
        widgets = {"notes": forms.Textarea(attrs={"rows": 3})}

    def clean_phone(self) -> str:
        """Take the usual separators out, so that a number can be pasted as it is written."""
        phone = "".join(char for char in self.cleaned_data["phone"] if char not in " -()/.\u00a0")
        if phone and not PHONE.fullmatch(phone):
            raise ValidationError("Write the number with its country code, like +493012345678.")
        return phone

    def clean(self) -> dict[str, Any]:
        """Ask for a way to reach the person; the database holds the same rule, in words for nobody."""
        data = super().clean() or {}
        if not data.get("email") and not data.get("phone") and not {"email", "phone"} & set(self.errors):
            self.add_error("email", "A mail address or a phone number is needed.")
        return data
