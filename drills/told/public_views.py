"""The page behind the link that a participant of a drill is mailed. Nobody logs in here: the link is the key."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts import throttle
from drills.told import calls
from drills.told.models import DrillCall
from portal.access import Permission, PortalView
from portal.audit.facts import current_facts


class DrillAnswer(PortalView):
    """Acknowledge. Opening it changes nothing: mail filters open every link."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, call_token: str) -> HttpResponse:
        """Offer the button while the drill is under way; say what was noted, or that it is over."""
        return self._page(calls.call_of(call_token))

    def post(self, request: HttpRequest, call_token: str) -> HttpResponse:
        """Note it; pressed twice, the same answer."""
        found = calls.acknowledge(call_token, agent=request.headers.get("User-Agent", ""))
        return self._page(found, was_pressed=True)

    def _page(self, found: DrillCall | None, *, was_pressed: bool = False) -> HttpResponse:
        if found is None:
            # Counted, so that nobody tries links at will.
            throttle.take_link(current_facts().address, now=timezone.now())
            response = self.render("drills/told/gone.html", status=404)
        else:
            is_over = found.held.run.is_over
            plan = found.held.drill.data or {}
            response = self.render(
                "drills/told/answer.html",
                call=found,
                drill=found.held.drill,
                is_over=is_over,
                is_real=found.held.run.progress.get("ending") == "real_incident",
                emergency_plan=plan.get("emergency_plan", ""),
                is_doubtful=was_pressed and found.answered_at is None and not is_over,
            )
        response["Cache-Control"] = "no-store"
        return response
