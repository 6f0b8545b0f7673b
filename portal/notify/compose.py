"""What a message says: subject, text and HTML from its templates, and the mail that carries them.

Templates get the context that was told plus `name` (of the reader), `is_customer`, `portal_url`, `account_name`
and `now`, when it is written: a mail may wait for the morning. A value named `url` or `…_url` is a path of the portal and arrives absolute; an address of
another place is refused, so that no mail of ours leads elsewhere. Text is not escaped, HTML always is. Times
are shown in the reader's zone.

People stand in a context as tokens (portal/audit/subjects.py), and so they do in what is written from it and kept. `opened`
gives the words to read; once somebody was erased, "erased person 7F3A" stands there instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template import Context, Engine
from django.template.base import Template
from django.urls import reverse
from django.utils import timezone

from portal.audit.subjects import open_html, open_values
from portal.notify import calendar

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SUBJECT_MAX = 180


@dataclass(frozen=True)
class Written:
    """A message: as it is kept, with people as tokens, or `opened`, as its reader gets it."""

    subject: str
    text: str
    html: str


@lru_cache(maxsize=2)
def _engine(escapes: bool) -> Engine:
    return Engine(
        dirs=[str(settings.BASE_DIR / "templates")],
        autoescape=escapes,
        libraries={"tz": "django.templatetags.tz"},
        # A name that a template needs and nobody gave must show in a test, and never as a gap in a mail.
        string_if_invalid="" if not settings.MAIL_TEMPLATES_STRICT else "MISSING:%s",
    )


def load_templates(name: str) -> tuple[Template, Template, Template]:
    """Return subject, text and HTML template of a purpose; raises TemplateDoesNotExist."""
    return (
        _engine(False).get_template(f"mail/{name}.subject.txt"),
        _engine(False).get_template(f"mail/{name}.txt"),
        _engine(True).get_template(f"mail/{name}.html"),
    )


def pack(context: Mapping[str, Any]) -> str:
    """Return the context as text. Raises TypeError for what is no plain value, ValueError for a foreign URL."""
    for key, value in context.items():
        if _is_url(key):
            path_of(value)
    return json.dumps(dict(context), default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$at": value.isoformat()}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    raise TypeError(f"A message's context holds plain values, not {type(value).__name__}.")


def unpack(text: str) -> dict[str, Any]:
    """Return the context that `pack` took in, its times as aware datetimes."""
    found = json.loads(
        text, object_hook=lambda held: datetime.fromisoformat(held["$at"]) if "$at" in held else held
    )
    return dict(found)


def _is_url(key: str) -> bool:
    return key == "url" or key.endswith("_url")


def path_of(url: Any) -> str:
    """Return a portal URL as its path ("" stays). Raises ValueError for an address of another place."""
    text = str(url or "")
    base = settings.PUBLIC_URL
    if base and text.startswith(f"{base}/"):
        text = text[len(base) :]
    if text and (not text.startswith("/") or text.startswith("//") or re.search(r"[\s\\\x00-\x1f]", text)):
        raise ValueError("A mail of the portal leads to the portal only.")
    return text


def absolute(path: str) -> str:
    """Return the address of a path as people reach it."""
    return f"{settings.PUBLIC_URL}{path}" if path else ""


def write(name: str, context: Mapping[str, Any], *, zone: str = "UTC") -> Written:
    """Return what purpose `name` says with this context, its times shown in `zone`; tokens stay tokens."""
    subject, text, html = load_templates(name)
    known = _ready(context)
    with timezone.override(ZoneInfo(zone)):
        return Written(
            subject=_title(subject.render(Context(known, autoescape=False))),
            text=_tidy(text.render(Context(known, autoescape=False))),
            html=html.render(Context(known)),
        )


def write_subject(name: str, context: Mapping[str, Any], *, zone: str = "UTC") -> str:
    """Return the subject alone: also the title of the notice in the portal."""
    with timezone.override(ZoneInfo(zone)):
        return _title(load_templates(name)[0].render(Context(_ready(context), autoescape=False)))


def opened(written: Written) -> Written:
    """Return what was written as its reader gets it: with the names of people, or what stands for the erased."""
    subject, text = open_values([written.subject, written.text])
    return Written(one_line(subject), text, open_html(written.html))


def _ready(context: Mapping[str, Any]) -> dict[str, Any]:
    known = {
        key: absolute(path_of(value)) if _is_url(key) else _flat(value) for key, value in context.items()
    }
    return {
        "name": "",
        "is_customer": False,
        "account_name": "",
        "url": "",
        **known,
        "now": timezone.now(),
        "portal_url": settings.PUBLIC_URL,
        "preferences_url": absolute(reverse("notice-preferences")),
    }


def flat(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return a context with each of its texts, paths aside, as one line; what is sealed afterwards stays so."""
    return {key: value if _is_url(key) else _flat(value) for key, value in context.items()}


def _flat(value: Any) -> Any:
    """Return what people typed as one line: nobody writes a paragraph of a mail of ours by a name or a title."""
    if isinstance(value, str):
        return " ".join(value.split())
    return [_flat(item) for item in value] if isinstance(value, list | tuple) else value


def _title(text: str) -> str:
    """Return a subject as one line, cut where it is too long, but never within a token: `opened` cuts that one."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if "⟦" in line else one_line(line)


def one_line(text: str) -> str:
    """Return text as one line that can be a header: no line breaks, no control characters, bounded."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= SUBJECT_MAX else line[: SUBJECT_MAX - 1] + "…"


def _tidy(text: str) -> str:
    lines = [line.rstrip() for line in _CONTROL.sub("", text).replace("\r", "").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def domain() -> str:
    """Return the domain of Message-IDs: that of the sender's address."""
    return settings.MAIL_FROM.rpartition("@")[2].strip("> ").lower() or "localhost"


def build(
    *,
    message_id: str,
    to: str,
    to_name: str,
    written: Written,
    subject_ref: str,
    account_ref: str,
    created_at: datetime,
    can_be_off: bool,
    reply_to: str = "",
    appointment: Mapping[str, Any] | None = None,
) -> EmailMessage:
    """Return the mail: plain text and HTML, no picture and no tracking. Raises ValueError for a bad header.

    All mails about one subject are one thread: they refer to the same root, which is nobody's Message-ID.
    """
    mail = EmailMessage(policy=SMTP)
    mail["Message-ID"] = f"<{message_id}>"
    mail["Date"] = format_datetime(created_at)
    mail["From"] = _address(settings.MAIL_FROM, settings.MAIL_FROM_NAME)
    mail["To"] = _address(to, one_line(to_name))
    mail["Subject"] = one_line(written.subject)
    root = f"<{sha256(f'{to}|{subject_ref}'.encode()).hexdigest()[:32]}.thread@{domain()}>"
    mail["In-Reply-To"] = root
    mail["References"] = root
    if reply_to:
        mail["Reply-To"] = _address(reply_to, settings.MAIL_FROM_NAME)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["List-Id"] = f"Steady State <{account_ref or 'portal'}.notices.{domain()}>"
    if can_be_off:
        mail["List-Unsubscribe"] = f"<{absolute('/me/notices/preferences')}>"
    mail.set_content(written.text, cte="quoted-printable")
    mail.add_alternative(written.html, subtype="html", cte="quoted-printable")
    if appointment is not None:
        # The texts become a part of their own, with a boundary that is told from the one around them.
        mail.set_boundary(f"=_{sha256(f'{message_id}/texts'.encode()).hexdigest()[:32]}")
        one = calendar.from_plain(appointment)
        mail.add_attachment(
            calendar.invitation(
                one,
                to=to,
                to_name=one_line(to_name),
                organizer=settings.MAIL_FROM,
                organizer_name=settings.MAIL_FROM_NAME,
            ),
            maintype="text",
            subtype="calendar",
            cte="base64",
            filename="appointment.ics",
            params={"method": one.method, "charset": "utf-8"},
        )
    # Made from the Message-ID and not by chance: each try sends the same bytes.
    mail.set_boundary(f"=_{sha256(message_id.encode()).hexdigest()[:32]}")
    return mail


def _address(spec: str, name: str) -> Address:
    if re.search(r"[\r\n\x00]", spec):
        raise ValueError("A mail address is one line.")
    return Address(display_name=name, addr_spec=spec)
