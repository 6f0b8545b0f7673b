"""The shape of a host."""

from __future__ import annotations

from django import forms


class HostForm(forms.Form):
    """Which host."""

    host = forms.CharField(
        label="Host",
        max_length=300,
        help_text="As shop.example.com: exactly this name, on ports 80 and 443. Another port is a host of its own, as shop.example.com:8443.",
        widget=forms.TextInput(attrs={"spellcheck": "false", "autocapitalize": "off"}),
    )
