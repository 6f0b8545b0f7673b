"""Pages of growing again: ask for it, read what is asked, approve, turn down, withdraw."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from portal.access import Permission
from portal.approvals.models import Side, Verdict
from portal.approvals.pages import ApprovePage, AskedPage, EndPage, asked_shown
from portal.errors import NotPermitted, Refused, form_status
from portal.runs.models import Run
from scaledown import growths, offers, services
from scaledown.forms import ReasonForm
from scaledown.live import live_run
from scaledown.models import Growth
from scaledown.progress import progress_from_plain
from scaledown.views.shared import RUNS, ScaledownPage

GROWTHS = Growth.objects.select_related("account", "run", "run__account", "request", "asked_by", "command")


class RunGrow(ScaledownPage):
    """Ask for a run to grow again."""

    permission = Permission.RUN_COMMAND

    def get(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """By how many, why, and what it leaves."""
        return self._ask(self.find(RUNS, run_ref))

    def post(self, request: HttpRequest, run_ref: UUID) -> HttpResponse:
        """Ask the customer; it is the provider's own approval."""
        run = self.find(RUNS, run_ref)
        reason = request.POST.get("reason", "")[:1000]
        try:
            growth = growths.ask_growth(
                run,
                count=_count(request.POST.get("count", "")),
                actor=self.user,
                reason=reason,
                seen_status=request.POST.get("seen_status") or None,
            )
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(run, problem=refusal.says, typed=reason, status=form_status(refusal))
        messages.success(
            request, "The customer was asked. The servers are created once they have approved it."
        )
        return redirect("scaledown:growth", growth_ref=growth.ref)

    def _ask(self, run: Run, *, problem: str = "", typed: str = "", status: int = 200) -> HttpResponse:
        live = live_run(run, granted=self.granted)
        situation = services.situation_of(run)
        names = list(live.growable)
        picked = _picked(self.request.POST.get("count", "1"), len(names))
        return self.show(
            "runs/grow.html",
            status=status,
            live=live,
            choices=[(n, ", ".join(names[:n]), n == picked) for n in range(1, len(names) + 1)],
            leaves=offers.grow_leaves(situation),
            pauses=growths.pauses(run.status, situation),
            why_not=offers.grow_refusal(1, "any", situation) if not names else "",
            problem=problem,
            form=ReasonForm(initial={"reason": typed}),
        )


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused("Say by how many servers, as a whole number.", code="bad_argument") from None


def _picked(text: str, most: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 5 and 1 <= int(text) <= most else 1


class GrowthPageView(ScaledownPage, abstract=True):
    """What the pages of one question share."""

    def row_shown(self, growth: Growth, *, problem: str = "", status: int = 200) -> HttpResponse:
        """Return the page of what is asked for."""
        data = growths.data_of(growth)
        progress = progress_from_plain(growth.run.progress)
        images = {image.image_id: image for image in progress.images}
        live = live_run(growth.run, granted=self.granted)
        shown = asked_shown(growth.request, self.user)
        serving = min((one.serving for one in live.serving if one.serving is not None), default=None)
        return self.show(
            "runs/growth.html",
            status=status,
            growth=growth,
            live=live,
            servers=[(server, images.get(server.image_id)) for server in data.servers],
            count=len(data.servers),
            serving=serving,
            after=None if serving is None else serving + len(data.servers),
            asking=next((one for one in shown["decisions"] if one.side == Side.PROVIDER), None),
            may_withdraw=shown["is_open"]
            and Permission.RUN_COMMAND in self.granted
            and not growth.run.is_over,
            grows=progress.growing is not None and progress.growing.ref == str(growth.ref),
            problem=problem,
            **shown,
        )


class GrowthDetail(GrowthPageView):
    """What is asked for, and who said what."""

    permission = Permission.RUN_VIEW

    def get(self, request: HttpRequest, growth_ref: UUID) -> HttpResponse:
        """Opening it changes nothing."""
        return self.row_shown(self.find(GROWTHS, growth_ref))


class AskedGrowth(AskedPage, abstract=True):
    """What approving and ending a question share."""

    rows = GROWTHS
    row_url = "scaledown:growth"


class GrowthApprove(GrowthPageView, AskedGrowth, ApprovePage):
    """The customer's yes to exactly what was seen."""

    permission = Permission.PLAN_APPROVE
    done = "You have approved it. The servers are built now."

    def approve(self, row: Growth, digest: str) -> None:
        """Approve what was seen."""
        growths.decide_growth(row, Verdict.APPROVE, actor=self.user, seen_digest=digest)

    def after(self, row: Growth) -> HttpResponse:
        """Go on to the run, where they are built."""
        messages.success(self.request, self.done)
        return redirect("scaledown:run-detail", run_ref=row.run.ref)


class GrowthReject(GrowthPageView, AskedGrowth, EndPage):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE
    heading, label = "Turn this down?", "Turn it down"
    leaves = "No server is built, and nothing is changed. Your launch manager reads why."
    done = "You have turned it down. No server is built."

    def end(self, row: Growth, reason: str, digest: str) -> None:
        """Turn down what was seen."""
        growths.decide_growth(row, Verdict.REJECT, actor=self.user, seen_digest=digest, reason=reason)


class GrowthWithdraw(GrowthPageView, AskedGrowth, EndPage):
    """It is no longer asked for."""

    permission = Permission.RUN_COMMAND
    heading, label = "Withdraw this?", "Withdraw it"
    leaves = "Nobody is asked any more, and no server is created. The run stays as it is."
    done = "It is withdrawn. A paused run goes on once somebody resumes it."

    def end(self, row: Growth, reason: str, digest: str) -> None:
        """Withdraw it."""
        growths.withdraw_growth(row, actor=self.user, reason=reason)
