"""What workers do for people's log-ins."""

from __future__ import annotations

import structlog
from celery import shared_task
from django.utils import timezone

from accounts.contact_files.services import forget_old_imports
from accounts.contacts.asking import ask_due
from accounts.contacts.uses import forget_old_uses
from accounts.invitations import forget_old_sends
from accounts.passwords import send_due_links

log = structlog.get_logger(__name__)


# Lost, doubled or late, it changes nothing: the rows say what is due.
@shared_task(name="accounts.tasks.send_reset_links", ignore_result=True, expires=60)
def send_reset_links() -> None:
    """Mail the links to set a new password that were asked for."""
    sent = send_due_links(timezone.now())
    if sent:
        log.info("reset_links_sent", count=sent)


@shared_task(name="accounts.tasks.tidy", ignore_result=True, expires=600)
def tidy() -> None:
    """Forget what need not be kept: invitations that ended, files of contacts that nobody decided about."""
    uses = forget_old_uses(timezone.now())
    if uses:
        log.info("contact_uses_forgotten", count=uses)
    forgotten = forget_old_sends(timezone.now())
    if forgotten:
        log.info("invitation_mails_forgotten", count=forgotten)
    dropped = forget_old_imports(timezone.now())
    if dropped:
        log.info("contact_imports_forgotten", count=dropped)


# Celery looks for the tasks of an app in this file alone.
# Celery looks for tasks in an app's `tasks` module: those of its packages are named here.
from accounts.reach import tasks as _reach_tasks  # noqa: E402,F401
from accounts.reviews.tasks import look_at_accounts, remind_action_owners  # noqa: E402,F401


# Lost, doubled or late, it changes nothing: whoever was asked is not due any more.
@shared_task(name="accounts.tasks.ask_contacts", ignore_result=True, expires=600)
def ask_contacts() -> None:
    """Ask contacts who are due whether they are still right; their mails wait for their own working hours."""
    asked = ask_due(timezone.now())
    if asked:
        log.info("contacts_asked", count=asked)
