"""Pages of profiles and of their runs: draw up, ask, decide, start; live, abort."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.utils import timezone

from accounts.models import Account
from accounts.views import AccountPage
from capacity.benchmarks.selectors import connection_of
from capacity.loads import selectors, services
from capacity.loads.forms import ProfileForm, StartForm, initial_of
from capacity.loads.models import LoadProfile, LoadRun
from capacity.loads.profile import from_plain
from capacity.pool_names import pool_named
from portal.access import AsyncPortalView, Permission
from portal.approvals.models import Verdict
from portal.approvals.pages import ApprovePage, AskedPage, EndPage, asked_shown
from portal.errors import NotPermitted, Refused, Trouble, form_status
from portal.frozen import replace
from portal.paging import keyset
from portal.runs.live import page_stream
from portal.runs.stream import Change
from portal.ui.charts import in_zone

NEWEST = 10


class LoadPage(AccountPage, abstract=True):
    """What these pages share."""

    tab = "loads"


class ProfileList(LoadPage):
    """The account's profiles, the newest first, and its newest runs."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show them."""
        account = self.find(Account, account_ref)
        page = keyset(
            selectors.profiles().filter(account=account),
            request,
            order="-id",
            filters={"account": account.pk},
        )
        return self.show(
            "capacity/loads/list.html",
            page=page,
            rows=[(one, selectors.shape_words(from_plain(one.content))) for one in page.rows],
            loads=list(selectors.loads().filter(account=account).order_by("-id")[:NEWEST]),
        )


class ProfileForms(LoadPage, abstract=True):
    """What drawing up and changing share."""

    def form_for(self, account: Account, data: Any = None, row: LoadProfile | None = None) -> ProfileForm:
        """Return the form, filled in with a profile where there is one."""
        initial = None
        if row is not None:
            pool = f"{row.connection.ref}:{row.balancer_id}" if row.connection else ""
            initial = initial_of(row.name, from_plain(row.content), pool)
        return ProfileForm(data, pools=selectors.pools_of(account), initial=initial)

    def page(
        self, account: Account, form: ProfileForm, row: LoadProfile | None, status: int = 200
    ) -> HttpResponse:
        """Return the page of the form."""
        return self.show("capacity/loads/form.html", form=form, row=row, caps=services.caps(), status=status)


class ProfileNew(ProfileForms):
    """Draw up a profile, perhaps as a copy (`?copy=`)."""

    permission = Permission.LOAD_DRAFT

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form."""
        account = self.find(Account, account_ref)
        copied = None
        try:
            ref = UUID(request.GET.get("copy", ""))
        except ValueError:
            pass
        else:
            copied = selectors.profiles().filter(account=account, ref=ref).first()
        return self.page(account, self.form_for(account, row=copied), None)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep it as a draft."""
        account = self.find(Account, account_ref)
        form = self.form_for(account, request.POST)
        if form.is_valid():
            pool = connection_of(account, form.cleaned_data["pool"])
            try:
                row = services.draft(account, form.fields_for_service(pool), actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
            else:
                return redirect("capacity:profile", profile_ref=row.ref)
        return self.page(account, form, None, status=422)


class ProfileEdit(ProfileForms):
    """Change a draft."""

    permission = Permission.LOAD_DRAFT

    def get(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Show the form."""
        row = self.find(selectors.profiles(), profile_ref)
        return self.page(row.account, self.form_for(row.account, row=row), row)

    def post(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Keep what was changed."""
        row = self.find(selectors.profiles(), profile_ref)
        form = self.form_for(row.account, request.POST)
        status = 422
        if form.is_valid():
            pool = connection_of(row.account, form.cleaned_data["pool"])
            try:
                services.change(row, form.fields_for_service(pool), actor=self.user)
            except Refused as refusal:
                form.add_error(None, refusal.says)
                status = form_status(refusal)
            else:
                return redirect("capacity:profile", profile_ref=row.ref)
        return self.page(row.account, form, row, status=status)


class OneProfile(LoadPage, abstract=True):
    """What the pages of one profile share."""

    def row_shown(self, row: LoadProfile, *, problem: str = "", status: int = 200) -> HttpResponse:
        """Return the page of a profile."""
        content = from_plain(row.content)
        return self.show(
            "capacity/loads/profile.html",
            status=status,
            row=row,
            content=content,
            words=selectors.shape_words(content),
            pool_named=pool_named(row.connection, row.balancer_id) if row.connection else "",
            unproven=selectors.unproven(row, content),
            is_old=row.valid_until is not None and row.valid_until <= timezone.now(),
            loads=list(selectors.loads().filter(profile=row).order_by("-id")[:NEWEST]),
            problem=problem,
            **asked_shown(row.request, self.user),
        )


class ProfileDetail(OneProfile):
    """One profile: the load, who approved it, its runs."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Opening it changes nothing."""
        return self.row_shown(self.find(selectors.profiles(), profile_ref))


class ProfileSubmit(OneProfile):
    """Ask for approval."""

    permission = Permission.LOAD_SUBMIT

    def post(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Submit it: the customer's approvers are asked."""
        row = self.find(selectors.profiles(), profile_ref)
        try:
            services.submit(row, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self.row_shown(row, problem=refusal.says, status=form_status(refusal))
        messages.success(request, "It is submitted. The customer’s approvers were asked.")
        return redirect("capacity:profile", profile_ref=row.ref)


class AskedProfile(AskedPage, abstract=True):
    """What approving and ending a profile share."""

    rows = selectors.profiles()
    row_url = "capacity:profile"


class ProfileApprove(OneProfile, AskedProfile, ApprovePage):
    """The customer's yes to exactly what was seen."""

    permission = Permission.PLAN_APPROVE
    done = "You have approved it. Your launch manager can put this load on."

    def approve(self, row: LoadProfile, digest: str) -> None:
        """Approve what was seen."""
        services.decide(row, Verdict.APPROVE, actor=self.user, seen_digest=digest)


class ProfileReject(LoadPage, AskedProfile, EndPage):
    """The customer's no."""

    permission = Permission.PLAN_APPROVE
    heading, label = "Turn this load down?", "Turn it down"
    leaves = "Nothing is sent to the site. Your launch manager reads why."
    done = "You have turned it down."

    def end(self, row: LoadProfile, reason: str, digest: str) -> None:
        """Turn down what was seen."""
        services.decide(row, Verdict.REJECT, actor=self.user, seen_digest=digest, reason=reason)


class ProfileWithdraw(LoadPage, AskedProfile, EndPage):
    """It is run no more."""

    permission = Permission.LOAD_SUBMIT
    heading, label = "Withdraw this profile?", "Withdraw it"
    leaves = "It is run no more, and stays to be read with your reason. A load that is on goes on: abort it on its own page."
    done = "It is withdrawn."

    def end(self, row: LoadProfile, reason: str, digest: str) -> None:
        """Withdraw it."""
        services.withdraw(row, actor=self.user, reason=reason)


class ProfileStart(LoadPage):
    """Put the load on."""

    permission = Permission.LOAD_START

    def get(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Say what will happen, and ask in which environment."""
        return self._ask(self.find(selectors.profiles(), profile_ref), StartForm())

    def post(self, request: HttpRequest, profile_ref: UUID) -> HttpResponse:
        """Start it; a refusal says what holds it back."""
        row = self.find(selectors.profiles(), profile_ref)
        form, status, other = StartForm(request.POST), 422, None
        if form.is_valid():
            try:
                load = services.start(
                    row, actor=self.user, seen_digest=request.POST.get("digest", ""), **form.cleaned_data
                )
            except NotPermitted:
                raise
            except Trouble as trouble:
                form.add_error(None, trouble.says)
                status = form_status(trouble)
                other = services.load_on(row.account) if trouble.code == "load_on" else None
            else:
                return redirect("capacity:load", load_ref=load.ref)
        return self._ask(row, form, status=status, other=other)

    def _ask(
        self, row: LoadProfile, form: StartForm, status: int = 200, other: LoadRun | None = None
    ) -> HttpResponse:
        content = from_plain(row.content)
        return self.show(
            "capacity/loads/start.html",
            row=row,
            content=content,
            words=selectors.shape_words(content),
            pool_named=pool_named(row.connection, row.balancer_id) if row.connection else "",
            form=form,
            other=other,
            status=status,
        )


# --- runs ------------------------------------------------------------------------------------------------


def _context(load: LoadRun, granted: frozenset[Permission], zone: ZoneInfo) -> dict[str, Any]:
    live = selectors.live_load(load)
    return {
        "live": replace(
            live,
            rate=in_zone(live.rate, zone),
            users=in_zone(live.users, zone),
            latency=in_zone(live.latency, zone),
        ),
        "zone_label": str(zone),
        "customer": Permission.LOAD_SUBMIT not in granted,
        "may_abort": Permission.LOAD_ABORT in granted,
    }


class LoadDetail(LoadPage):
    """A run, live: figures each second, and the button that ends it."""

    permission = Permission.SAMPLE_VIEW

    def get(self, request: HttpRequest, load_ref: UUID) -> HttpResponse:
        """Show it as it is now; without JavaScript it refreshes itself."""
        load = self.find(selectors.loads(), load_ref)
        zone = ZoneInfo(self.user.time_zone or "UTC")
        return self.show("capacity/loads/run.html", row=load, **_context(load, self.granted, zone))


class LoadStream(AsyncPortalView):
    """The stream of a run's page: its figures after each look. Holds no connection while it waits."""

    permission = Permission.SAMPLE_VIEW

    async def get(self, request: HttpRequest, load_ref: UUID) -> HttpResponseBase:
        """Ends when the run, the session or the reader's right is over. 429 where too many are open."""
        load = await self.afind(selectors.loads(), load_ref)
        render = _renderer(self, load, get_token(request))
        return page_stream(self, load.run_id, render, for_customer=Permission.LOAD_SUBMIT not in self.granted)


def _renderer(view: AsyncPortalView, load: LoadRun, token: str) -> Callable[[Change], Mapping[str, str]]:
    granted, zone = view.granted, ZoneInfo(view.request.user.time_zone or "UTC")

    def render(change: Change) -> Mapping[str, str]:
        context = _context(load, granted, zone) | {"csrf_token": token}
        return {"state": render_to_string("capacity/loads/_live.html", context)}

    return render


class LoadAbort(LoadPage):
    """End a load."""

    permission = Permission.LOAD_ABORT

    def post(self, request: HttpRequest, load_ref: UUID) -> HttpResponse:
        """It ends within two seconds; asked again, nothing more happens."""
        load = self.find(selectors.loads(), load_ref)
        try:
            services.abort(load, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            messages.error(request, refusal.says)
        else:
            messages.success(request, "The load ends within two seconds.")
        return redirect("capacity:load", load_ref=load.ref)
