"""What the portal itself tells."""

from __future__ import annotations

from portal.notify.registry import Kind, Purpose, register_purpose

OWN = (
    Purpose("mail_returned", Kind.NOTICE, "A mail could not be delivered"),
    Purpose("approval_asked", Kind.NOTICE, "Something waits for your approval"),
    Purpose("approval_lessened", Kind.NOTICE, "What was submitted for approval is less now"),
    Purpose("approval_ended", Kind.NOTICE, "What you asked approval for was decided"),
    Purpose("run_started", Kind.NOTICE, "A run has begun"),
    Purpose("charge_asked", Kind.NOTICE, "You are asked to take over a run"),
    Purpose("charge_changed", Kind.NOTICE, "Who is in charge of a run has changed, or will"),
    Purpose("run_held", Kind.NOTICE, "A run pauses before its next server: the site was changed"),
    Purpose("run_ended", Kind.NOTICE, "A run has ended"),
    Purpose("run_waiting", Kind.NOTICE, "A run stopped by itself and waits, all is safe"),
    Purpose("run_decide", Kind.HALT, "A run stopped by itself and needs a decision today"),
    Purpose("run_danger", Kind.EMERGENCY, "A site is in danger"),
    Purpose("standstill_put", Kind.NOTICE, "Everything was stopped"),
    Purpose("standstill_lifted", Kind.NOTICE, "Work may go on"),
)


def register_own() -> None:
    """Register the purposes of `portal` itself."""
    for purpose in OWN:
        register_purpose(purpose)
