"""Handing one mail over: to a mail server, or on a desk to the mailbox page. Says how far it got.

What matters is the moment at which the end of the text is sent: before it the server surely has not taken the
mail, after it and without an answer nobody knows (RFC 5321, section 4.5.3.2.6 and RFC 1047).
"""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings


class NotSent(Exception):
    """The mail was surely not taken. `is_final`: this server will never take it for this recipient."""

    def __init__(self, says: str, *, is_final: bool = False) -> None:
        super().__init__(says)
        self.says = says
        self.is_final = is_final


class InDoubt(Exception):
    """The whole mail was handed over and the server's answer was lost: it may have been sent."""

    def __init__(self, says: str) -> None:
        super().__init__(says)
        self.says = says


class Transport(Protocol):
    """Takes one mail. Raises NotSent or InDoubt."""

    def send(
        self, mail: bytes, *, sender: str, to: str, handing_over: Callable[[], None], deadline_s: float
    ) -> None:
        """Hand over within `deadline_s` in all; `handing_over` is called right before the text is offered."""


class Mailbox:
    """A desk's mailbox: what was written is read on the page /desk/mail, and leaves the machine for nowhere."""

    def send(
        self, mail: bytes, *, sender: str, to: str, handing_over: Callable[[], None], deadline_s: float
    ) -> None:
        """Take it: the row itself is the mailbox."""
        handing_over()


@dataclass(frozen=True)
class Server:
    """A mail server. `is_tls`: TLS from the first byte; else STARTTLS unless EMAIL_PLAIN."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    is_tls: bool = False


def server_of(url: str) -> Server:
    """Return the server that EMAIL_URL names. Raises ValueError with a sentence that repeats nothing of it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is none.") from None
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("it must look like smtp://user:password@host:587 or smtps://….")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("nothing may follow the port.")
    is_tls = parts.scheme == "smtps"
    return Server(
        host=parts.hostname,
        port=port or (465 if is_tls else 587),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        is_tls=is_tls,
    )


class Smtp:
    """One connection per mail to a real mail server: few mails, and each with a known end."""

    def __init__(self, server: Server, *, may_be_plain: bool = False) -> None:
        self._server = server
        self._may_be_plain = may_be_plain

    def send(
        self, mail: bytes, *, sender: str, to: str, handing_over: Callable[[], None], deadline_s: float
    ) -> None:
        """Speak with the server. Raises NotSent where it surely did not take the mail, else InDoubt."""
        until = time.monotonic() + deadline_s
        dialog = self._connect(deadline_s)
        # Time-outs of a socket count per read: a server that drips would hold us for ever without this.
        watch = threading.Timer(max(0.1, until - time.monotonic()), _cut, [dialog])
        watch.daemon = True
        watch.start()
        try:
            self._envelope(dialog, sender, to)
            handing_over()
            self._text(dialog, mail)
        finally:
            watch.cancel()
            _cut(dialog)
            with contextlib.suppress(OSError):
                dialog.close()

    def _connect(self, deadline_s: float) -> smtplib.SMTP:
        server = self._server
        try:
            if server.is_tls:
                return smtplib.SMTP_SSL(
                    server.host, server.port, timeout=deadline_s, context=ssl.create_default_context()
                )
            return smtplib.SMTP(server.host, server.port, timeout=deadline_s)
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"The mail server does not greet ({error.smtp_code}).") from error
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(f"The mail server cannot be reached ({type(error).__name__}).") from error

    def _envelope(self, dialog: smtplib.SMTP, sender: str, to: str) -> None:
        """Say who writes to whom. Trouble with greeting, TLS or log-in is ours, never the recipient's."""
        try:
            dialog.ehlo_or_helo_if_needed()
            if not self._server.is_tls and not self._may_be_plain:
                dialog.starttls(context=ssl.create_default_context())
                dialog.ehlo()
            if self._server.user:
                dialog.login(self._server.user, self._server.password)
        except (OSError, smtplib.SMTPException) as error:
            code = f" {error.smtp_code}" if isinstance(error, smtplib.SMTPResponseException) else ""
            raise NotSent(
                f"The mail server does not let the portal in ({type(error).__name__}{code})."
            ) from error
        try:
            _refuse_unless(dialog.mail(sender), 250, "the portal's own address")
            _refuse_unless(dialog.rcpt(to), 250, "the recipient", also=251)
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(
                f"The connection broke before the mail was sent ({type(error).__name__})."
            ) from error

    def _text(self, dialog: smtplib.SMTP, mail: bytes) -> None:
        try:
            _refuse_unless(dialog.docmd("DATA"), 354, "the mail")
            dialog.send(_stuffed(mail))
        except (OSError, smtplib.SMTPException) as error:
            raise NotSent(f"The connection broke before the mail's end ({type(error).__name__}).") from error
        try:
            dialog.send(b".\r\n")
            answer = dialog.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise InDoubt(
                f"The mail server did not say whether it took the mail ({type(error).__name__})."
            ) from error
        _refuse_unless(answer, 250, "the mail")


def _stuffed(mail: bytes) -> bytes:
    """Return the text with whole lines and doubled leading dots (RFC 5321, section 4.5.2), without its end."""
    lines = re.sub(rb"\r?\n|\r", b"\r\n", mail)
    lines = re.sub(rb"(?m)^\.", b"..", lines)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _refuse_unless(answer: tuple[int, bytes], wanted: int, what: str, also: int = 0) -> None:
    code, _text = answer
    if code in {wanted, also}:
        return
    if code < 200:  # -1: no answer at all
        raise OSError("no answer")
    raise NotSent(f"The mail server refused {what} ({code}).", is_final=500 <= code < 600)


def _cut(dialog: smtplib.SMTP) -> None:
    """End the connection under whoever waits on it."""
    sock = dialog.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def configured() -> Transport:
    """Return how mail leaves. Raises ValueError without EMAIL_URL, unless this is a desk."""
    if settings.EMAIL_URL:
        return Smtp(server_of(settings.EMAIL_URL), may_be_plain=settings.EMAIL_PLAIN)
    if settings.DESK_MODE:
        return Mailbox()
    raise ValueError("EMAIL_URL is not set, and only a desk has a mailbox of its own.")
