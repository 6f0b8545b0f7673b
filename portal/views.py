"""Pages that belong to no app: dashboard, health, and what is shown when something is refused."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that a form came from elsewhere or too late; nothing was changed."""
    return render(
        request,
        "errors/403.html",
        {"says": "This form was opened too long ago."},
        status=403,
    )
