"""A purpose without its templates is found by `manage.py check`, not by the person who was not told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.template import TemplateDoesNotExist

from portal.notify import compose
from portal.notify.registry import purposes


def check_templates(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Return one error for each purpose whose templates are not all there."""
    found: list[CheckMessage] = []
    for purpose in purposes():
        try:
            compose.load_templates(purpose.name)
        except TemplateDoesNotExist as missing:
            found.append(
                Error(f"The purpose {purpose.name} cannot be told: {missing} is missing.", id="portal.E030")
            )
    return found


def install() -> None:
    """Have the check run with the others."""
    register(check_templates, Tags.templates)
