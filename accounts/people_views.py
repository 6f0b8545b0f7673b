"""Pages of who has access: members and invitations of an account, a team's people, the invitation itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.contrib import messages
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from accounts import invitations, members, roles, selectors, services, tokens
from accounts.forms import AccountForm, AccountOpenForm, InviteForm, JoinForm, RoleForm
from accounts.models import (
    Account,
    AccountRole,
    Invitation,
    Membership,
    Team,
    TeamMembership,
    TeamRole,
    User,
)
from accounts.networks import MOST_OF_ACCOUNT
from accounts.views import AccountPage
from portal.access import ACCOUNT_ROLES, TEAM_ROLES, Permission, PortalView, seen_by_team
from portal.errors import NotPermitted, Refused
from portal.paging import keyset

MOST_SHOWN = 100
ENDED_SHOWN = 5
ROLE_LABELS = {**dict(AccountRole.choices), **dict(TeamRole.choices)}


def _choices(names: Any) -> list[tuple[str, str]]:
    return [(name, f"{ROLE_LABELS[name]}: {invitations.what_it_means(name)}") for name in names]


def invited_page(place: Account | Team, request: HttpRequest) -> dict[str, Any]:
    """Return one page of the open invitations, newest first, for the template."""
    page = keyset(
        invitations.open_rows(place), request.GET.dict(), order="-id", filters={"place": str(place.ref)}
    )
    return {"page": page, "invited": invitations.shown(page.rows, now=timezone.now())}


def service_tokens_page(account: Account) -> dict[str, Any]:
    """Return an account's service tokens for the template: those that can be used first, then the latest that ended."""
    now = timezone.now()
    can_be_used = Q(revoked_at__isnull=True, expires_at__gt=now)
    rows = list(
        tokens.service_tokens_of(account)
        .annotate(is_live=ExpressionWrapper(can_be_used, output_field=BooleanField()))
        .order_by("-is_live", "-id")[: MOST_SHOWN + ENDED_SHOWN]
    )
    live = [one for one in rows if one.is_live]
    ended = [one for one in rows if not one.is_live][:ENDED_SHOWN]
    return {"service_tokens": live + ended, "live_tokens": {one.pk for one in live}, "now": now}


# --- an account's members ----------------------------------------------------------------------------------


class Access(AccountPage):
    """Who has access, in which role, by whom; invitations that are open."""

    permission = Permission.MEMBER_VIEW
    tab = "access"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show names and roles to every member; the rest to those who manage members."""
        account = self.find(Account.objects.select_related("team"), account_ref)
        manages = Permission.MEMBER_EDIT in self.granted
        with_factors = manages and selectors.has_factors()
        rows: list[Any] = selectors.members_of(account, with_factors=with_factors)
        team_factors = with_factors and Permission.TEAM_VIEW in self.granted
        team: list[Any] = selectors.people_of(account.team, with_factors=team_factors)
        admins = [row for row in rows if row.role == AccountRole.ADMIN and row.user.is_active]
        mine = next((row for row in rows if row.user_id == self.user.pk), None)
        in_team = next((row.role for row in team if row.user_id == self.user.pk), "")
        me = roles.Person(mine.role if mine else "", in_team)
        for row in rows:
            row.is_me = row is mine
            others = sum(1 for one in admins if one is not row)
            they = roles.Person(row.role, "", row.user.is_active)
            row.may_remove = roles.take_role(me, they, other_admins=others, is_self=row.is_me) is None
        return self.show(
            "accounts/access.html",
            members=rows,
            team=team,
            manages=manages,
            with_factors=with_factors,
            team_factors=team_factors,
            is_member=mine is not None,
            sees_team=bool(in_team),
            **(invited_page(account, request) if manages else {}),
            **(service_tokens_page(account) if Permission.TOKEN_EDIT in self.granted else {}),
        )


class Invite(AccountPage):
    """Invite somebody to the account by mail."""

    permission = Permission.MEMBER_EDIT
    tab = "access"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form, with the roles that one may give."""
        return self._form(self.find(Account, account_ref), None)

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Send the invitation, or show why not."""
        return self._form(self.find(Account, account_ref), request.POST)

    def _form(self, account: Account, typed: Any) -> HttpResponse:
        me = members.standing_on(self.user, account)
        offered = roles.roles_to_give(me, other_admins=members.other_admins(account, None))
        form = InviteForm(typed, roles=_choices(offered))
        status = 200
        if typed is not None:
            status = 422
            if form.is_valid() and _done(
                form, lambda: invitations.invite(account, actor=self.user, **form.cleaned_data)
            ):
                messages.success(
                    self.request,
                    f"{form.cleaned_data['email']} is invited and has {_days()} to accept.",
                )
                return redirect("accounts:access", account_ref=account.ref)
        return self.show(
            "accounts/invite.html", form=form, status=status, offers_approver="approver" in offered
        )


def _days() -> str:
    days = invitations.lasts().total_seconds() / 86400
    return f"{days:g} days"


def _done(form: Any, act: Callable[[], Any]) -> bool:
    """Whether `act` was done; what it refuses is said on the form. What one lacks the right for stays a 403."""
    try:
        act()
    except NotPermitted:
        raise
    except Refused as refusal:
        form.add_error(None, refusal.says)
        return False
    return True


class MemberRole(AccountPage):
    """Change a member's role."""

    permission = Permission.MEMBER_EDIT
    tab = "access"

    def get(self, request: HttpRequest, member_ref: UUID) -> HttpResponse:
        """Show the roles that one may give."""
        return self._form(self.find(Membership.objects.select_related("user"), member_ref), None)

    def post(self, request: HttpRequest, member_ref: UUID) -> HttpResponse:
        """Change it, or show why not."""
        return self._form(self.find(Membership.objects.select_related("user"), member_ref), request.POST)

    def _form(self, member: Membership, typed: Any) -> HttpResponse:
        account, user = member.account, member.user
        others = members.other_admins(account, user)
        me, is_self = members.standing_on(self.user, account), user.pk == self.user.pk
        they = me if is_self else members.standing_on(user, account)
        offered = [
            role
            for role in ACCOUNT_ROLES
            if role != member.role
            and roles.give_role(me, they, role, other_admins=others, is_self=is_self) is None
        ]
        form = RoleForm(typed, roles=_choices(offered))
        status = 200
        if typed is not None:
            status = 422
            if form.is_valid() and _done(
                form, lambda: members.grant_role(account, user, form.cleaned_data["role"], actor=self.user)
            ):
                messages.success(
                    self.request, f"{user.name} is {ROLE_LABELS[form.cleaned_data['role']]} now, at once."
                )
                return redirect("accounts:access", account_ref=account.ref)
        why = roles.give_role(
            me, they, "viewer" if member.role != "viewer" else "editor", other_admins=others, is_self=is_self
        )
        return self.show(
            "accounts/member_role.html",
            form=form,
            member=member,
            offered=offered,
            why_none="" if offered or why is None else why.says,
            tokens_at_risk=_tokens_at_risk(user, Account.objects.filter(pk=account.pk)),
            back_label="Access",
            back_url=reverse("accounts:access", args=[account.ref]),
            status=status,
        )


class MemberRemove(AccountPage):
    """Take a member's role away, after asking on a page of its own."""

    permission = Permission.MEMBER_EDIT
    tab = "access"

    def get(self, request: HttpRequest, member_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._ask(self.find(Membership.objects.select_related("user"), member_ref))

    def post(self, request: HttpRequest, member_ref: UUID) -> HttpResponse:
        """Remove, or show why not."""
        member = self.find(Membership.objects.select_related("user"), member_ref)
        try:
            members.remove_member(member.account, member.user, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(member, problem=refusal.says, status=422)
        messages.success(
            request, f"{member.user.name} was removed and no longer reaches {self.account.name}."
        )
        return redirect("accounts:access", account_ref=self.account.ref)

    def _ask(self, member: Membership, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/people_confirm.html",
            status=status,
            problem=problem,
            title=f"Remove {member.user.name}?",
            lines=[
                f"{member.user.name} ({member.role}) no longer reaches {self.account.name}: open pages, live views "
                "and tokens stop at once.",
                "Runs that rest on their approval are paused until it is given anew.",
                *_tokens_that_end(member.user, Account.objects.filter(pk=self.account.pk)),
            ],
            button=f"Remove {member.user.name}",
            back_url=reverse("accounts:access", args=[self.account.ref]),
            back_label="Access",
        )


def _tokens_that_end(user: User, accounts: QuerySet[Account], *, who: str = "they") -> list[str]:
    """Return the sentence about service tokens that end with whoever made them; none where there are none."""
    names = _named_tokens(user, accounts)
    if not names:
        return []
    return [
        f"Service tokens that {who} made end too, and the programs with them: {names}. Make new ones first."
    ]


def _tokens_at_risk(user: User, accounts: QuerySet[Account]) -> str:
    """Return the sentence about service tokens that may end with a new role; empty where there are none."""
    names = _named_tokens(user, accounts)
    if not names:
        return ""
    return f"Service tokens that they made and could not make in the new role end at once, and the programs with them: {names}."


def _named_tokens(user: User, accounts: QuerySet[Account]) -> str:
    return ", ".join(f"“{one.name}”" for one in tokens.service_tokens_by(user, accounts)[:10])


class Leave(AccountPage):
    """Give up the own role on the account."""

    permission = Permission.MEMBER_VIEW
    tab = "access"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask."""
        self.find(Account, account_ref)
        return self._ask()

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Leave, or show why not."""
        account = self.find(Account, account_ref)
        try:
            members.remove_member(account, self.user, actor=self.user)
        except Refused as refusal:
            return self._ask(problem=refusal.says, status=422)
        messages.success(request, f"You have left {account.name}.")
        return redirect("accounts:account-list")

    def _ask(self, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/people_confirm.html",
            status=status,
            problem=problem,
            title=f"Leave {self.account.name}?",
            lines=[
                "You no longer reach the account, at once. Somebody there must invite you to come back.",
                "Runs that rest on your approval are paused until it is given anew.",
                *_tokens_that_end(self.user, Account.objects.filter(pk=self.account.pk), who="you"),
            ],
            button="Leave the account",
            back_url=reverse("accounts:access", args=[self.account.ref]),
            back_label="Access",
        )


class _Invited(PortalView, abstract=True):
    """What can be done about an open invitation; the same for an account's and for a team's."""

    said: ClassVar[str]

    def act(self, invitation: Invitation) -> None:
        """Do it; raises Refused."""
        raise NotImplementedError

    def answer(self, invitation: Invitation) -> HttpResponse:
        """Do it, say so, and go back to where it is listed."""
        self.act(invitation)
        messages.success(self.request, self.said.format(invitation.email))
        if self.team is not None:
            return redirect("accounts:team-detail", team_ref=self.team.ref)
        return redirect("accounts:access", account_ref=self.account.ref)


class _Revoke(_Invited, abstract=True):
    said = "The invitation of {} is taken back. Its link opens nothing."

    def act(self, invitation: Invitation) -> None:
        """Take it back; its link opens nothing from then on."""
        invitations.revoke(invitation, actor=self.user)


class _SendAgain(_Invited, abstract=True):
    said = "{} gets a new mail. The link in the old one opens nothing."

    def act(self, invitation: Invitation) -> None:
        """Send a new link; the old one ends."""
        invitations.send_again(invitation, actor=self.user)


class InvitationRevoke(_Revoke):
    """Take an invitation to an account back."""

    permission = Permission.MEMBER_EDIT

    def post(self, request: HttpRequest, invitation_ref: UUID) -> HttpResponse:
        """Take it back."""
        return self.answer(self.find(Invitation, invitation_ref))


class InvitationSend(_SendAgain):
    """Send an invitation to an account again."""

    permission = Permission.MEMBER_EDIT

    def post(self, request: HttpRequest, invitation_ref: UUID) -> HttpResponse:
        """Send a new link."""
        return self.answer(self.find(Invitation, invitation_ref))


class TeamInvitationRevoke(_Revoke):
    """Take an invitation to a team back."""

    permission = Permission.TEAM_EDIT

    def post(self, request: HttpRequest, team_invitation_ref: UUID) -> HttpResponse:
        """Take it back."""
        return self.answer(self.find_in_team(Invitation, team_invitation_ref))


class TeamInvitationSend(_SendAgain):
    """Send an invitation to a team again."""

    permission = Permission.TEAM_EDIT

    def post(self, request: HttpRequest, team_invitation_ref: UUID) -> HttpResponse:
        """Send a new link."""
        return self.answer(self.find_in_team(Invitation, team_invitation_ref))


# --- the account itself ------------------------------------------------------------------------------------


class AccountSettings(AccountPage):
    """What belongs to the account: name, zone, service level, milestone, notes; and its archive."""

    permission = Permission.ACCOUNT_EDIT
    tab = "settings"

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Show the form."""
        account = self.find(Account, account_ref)
        return self._page(account, AccountForm(instance=account))

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Keep the changes, or show what is wrong."""
        account = self.find(Account, account_ref)
        form = AccountForm(request.POST, instance=Account.objects.get(pk=account.pk))
        if form.is_valid() and _done(
            form, lambda: services.change_account(account, form.cleaned_data, actor=self.user)
        ):
            messages.success(request, "The changes are kept.")
            return redirect("accounts:account-settings", account_ref=account.ref)
        return self._page(account, form, status=422)

    def _page(self, account: Account, form: AccountForm, status: int = 200) -> HttpResponse:
        networks = list(account.networks.order_by("network")[:MOST_OF_ACCOUNT])
        return self.show("accounts/account_settings.html", form=form, networks=networks, status=status)


class _Status(AccountPage, abstract=True):
    """Asks on a page of its own for a reason, then archives or reopens."""

    tab = "settings"
    title: str
    lines: tuple[str, ...]
    button: str
    said: str

    def act(self, reason: str) -> None:
        """Do it; raises Refused."""
        raise NotImplementedError

    def get(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Ask."""
        self.find(Account, account_ref)
        return self._ask()

    def post(self, request: HttpRequest, account_ref: UUID) -> HttpResponse:
        """Do it, or show why not."""
        account = self.find(Account, account_ref)
        try:
            self.act(request.POST.get("reason", ""))
        except Refused as refusal:
            return self._ask(problem=refusal.says, status=422)
        messages.success(request, self.said.format(account.name))
        return redirect("accounts:account-detail", account_ref=account.ref)

    def _ask(self, *, problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "accounts/people_confirm.html",
            status=status,
            problem=problem,
            title=self.title.format(self.account.name),
            lines=self.lines,
            button=self.button.format(self.account.name),
            reason="required",
            back_url=reverse("accounts:account-settings", args=[self.account.ref]),
            back_label="Settings",
        )


class AccountArchive(_Status):
    """Archive the account."""

    permission = Permission.ACCOUNT_ARCHIVE
    title = "Archive {}?"
    lines = (
        "It can be read from then on, and not changed: no contact, no plan, no run, no new member.",
        "Nothing is deleted. A lead can open it again.",
    )
    button = "Archive {}"
    said = "{} is archived. It can be read, not changed."

    def act(self, reason: str) -> None:
        """Archive it."""
        services.archive_account(self.account, reason=reason, actor=self.user)


class AccountReopen(_Status):
    """Open an archived account again."""

    permission = Permission.ACCOUNT_ARCHIVE
    title = "Open {} again?"
    lines = ("Its people can change things again, with the roles that they had.",)
    button = "Open {} again"
    said = "{} is open again."

    def act(self, reason: str) -> None:
        """Open it."""
        services.reopen_account(self.account, reason=reason, actor=self.user)


# --- teams -------------------------------------------------------------------------------------------------


class TeamPage(PortalView, abstract=True):
    """A page of one team."""

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the team at hand."""
        return self.render(template, status=status, team=self.team, nav_key="accounts", **context)

    def ask(self, *, title: str, lines: list[str], button: str, **context: Any) -> HttpResponse:
        """Return the question on a page of its own."""
        return self.show(
            "accounts/people_confirm.html",
            title=title,
            lines=lines,
            button=button,
            back_url=reverse("accounts:team-detail", args=[self.team.ref]),
            back_label=self.team.name,
            **context,
        )


class TeamList(PortalView):
    """Teams that one is in."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show them by name."""
        rows = seen_by_team(self.user, Team).order_by("name", "pk")
        return self.render("accounts/team_list.html", teams=rows, nav_key="accounts")


class TeamDetail(TeamPage):
    """A team's people, invitations and accounts."""

    permission = Permission.TEAM_VIEW

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show them; what is a lead's to do is offered to leads."""
        team = self.find_in_team(Team, team_ref)
        manages = Permission.TEAM_EDIT in self.granted
        rows: list[Any] = selectors.people_of(team)
        factors = selectors.with_second_factor(row.user for row in rows) if manages else None
        for row in rows:
            row.is_me = row.user_id == self.user.pk
            row.has_second_factor = None if factors is None else row.user_id in factors
        return self.show(
            "accounts/team_detail.html",
            people=rows,
            manages=manages,
            with_factors=factors is not None,
            accounts=list(members.accounts_of(team).filter(status="active").order_by("name", "pk")[:25]),
            **(invited_page(team, request) if manages else {}),
        )


class TeamInvite(TeamPage):
    """Invite somebody to the team by mail."""

    permission = Permission.TEAM_EDIT

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the form."""
        self.find_in_team(Team, team_ref)
        return self.show("accounts/team_invite.html", form=InviteForm(None, roles=_choices(TEAM_ROLES)))

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Send the invitation, or show why not."""
        team = self.find_in_team(Team, team_ref)
        form = InviteForm(request.POST, roles=_choices(TEAM_ROLES))
        if form.is_valid() and _done(
            form, lambda: invitations.invite(team, actor=self.user, **form.cleaned_data)
        ):
            messages.success(request, f"{form.cleaned_data['email']} is invited and has {_days()} to accept.")
            return redirect("accounts:team-detail", team_ref=team.ref)
        return self.show("accounts/team_invite.html", form=form, status=422)


class TeamRolePage(TeamPage):
    """Change the role of one of the team."""

    permission = Permission.TEAM_EDIT

    def get(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Show the other role."""
        return self._form(self._found(team_member_ref), None)

    def post(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Change it, or show why not."""
        return self._form(self._found(team_member_ref), request.POST)

    def _found(self, ref: UUID) -> TeamMembership:
        return self.find_in_team(TeamMembership.objects.select_related("user"), ref)

    def _form(self, member: TeamMembership, typed: Any) -> HttpResponse:
        offered = [role for role in TEAM_ROLES if role != member.role]
        form = RoleForm(typed, roles=_choices(offered))
        status = 200
        if typed is not None:
            status = 422
            if form.is_valid() and _done(
                form,
                lambda: members.add_to_team(
                    member.team, member.user, form.cleaned_data["role"], actor=self.user
                ),
            ):
                messages.success(
                    self.request,
                    f"{member.user.name} is {ROLE_LABELS[form.cleaned_data['role']]} now, at once.",
                )
                return redirect("accounts:team-detail", team_ref=member.team.ref)
        return self.show(
            "accounts/member_role.html",
            form=form,
            member=member,
            offered=offered,
            why_none="",
            tokens_at_risk=_tokens_at_risk(member.user, members.accounts_of(member.team)),
            back_label=member.team.name,
            back_url=reverse("accounts:team-detail", args=[member.team.ref]),
            status=status,
        )


class TeamRemove(TeamPage):
    """Take somebody out of the team."""

    permission = Permission.TEAM_EDIT

    def get(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Ask."""
        return self._ask(self.find_in_team(TeamMembership.objects.select_related("user"), team_member_ref))

    def post(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Take them out, or show why not."""
        member = self.find_in_team(TeamMembership.objects.select_related("user"), team_member_ref)
        try:
            members.remove_from_team(member.team, member.user, actor=self.user)
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(member, problem=refusal.says, status=422)
        messages.success(request, f"{member.user.name} is out of {self.team.name}.")
        return redirect("accounts:team-detail", team_ref=self.team.ref)

    def _ask(self, member: TeamMembership, **context: Any) -> HttpResponse:
        return self.ask(
            title=f"Take {member.user.name} out of {self.team.name}?",
            lines=[
                f"{member.user.name} no longer reaches any account of the team: open pages, live views and tokens "
                "stop at once.",
                "Runs that rest on their approval are paused until it is given anew.",
                *_tokens_that_end(member.user, members.accounts_of(self.team)),
            ],
            button=f"Take {member.user.name} out",
            **context,
        )


class TeamLeave(TeamPage):
    """Leave the team."""

    permission = Permission.TEAM_VIEW

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Ask."""
        self.find_in_team(Team, team_ref)
        return self._ask()

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Leave, or show why not."""
        team = self.find_in_team(Team, team_ref)
        try:
            members.remove_from_team(team, self.user, actor=self.user)
        except Refused as refusal:
            return self._ask(problem=refusal.says, status=422)
        messages.success(request, f"You have left {team.name}.")
        return redirect("accounts:team-list")

    def _ask(self, **context: Any) -> HttpResponse:
        return self.ask(
            title=f"Leave {self.team.name}?",
            lines=[
                "You no longer reach any account of the team, at once. A lead must invite you to come back.",
                "Runs that rest on your approval are paused until it is given anew.",
                *_tokens_that_end(self.user, members.accounts_of(self.team), who="you"),
            ],
            button="Leave the team",
            **context,
        )


class TeamSwitchOff(TeamPage):
    """Switch the log-in of somebody off who is of this team alone."""

    permission = Permission.TEAM_EDIT

    def get(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Ask, with a reason."""
        return self._ask(self.find_in_team(TeamMembership.objects.select_related("user"), team_member_ref))

    def post(self, request: HttpRequest, team_member_ref: UUID) -> HttpResponse:
        """Switch it off, or show why not."""
        member = self.find_in_team(TeamMembership.objects.select_related("user"), team_member_ref)
        try:
            members.deactivate_user(member.user, actor=self.user, reason=request.POST.get("reason", ""))
        except NotPermitted:
            raise
        except Refused as refusal:
            return self._ask(member, problem=refusal.says, status=422)
        messages.success(request, f"The log-in of {member.user.name} is switched off, at once.")
        return redirect("accounts:team-detail", team_ref=self.team.ref)

    def _ask(self, member: TeamMembership, **context: Any) -> HttpResponse:
        return self.ask(
            title=f"Switch off the log-in of {member.user.name}?",
            lines=[
                "Every session, token and live view of theirs ends at once, and runs that rest on their approval "
                "are paused. Roles stay on record and count for nothing.",
                *_tokens_that_end(member.user, Account.objects.all()),
                "An operator of the installation can switch it on again.",
            ],
            button="Switch the log-in off",
            reason="required",
            **context,
        )


class AccountOpen(TeamPage):
    """Open an account for a new customer of the team."""

    permission = Permission.ACCOUNT_EDIT

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the form."""
        self.find_in_team(Team, team_ref)
        return self.show("accounts/account_open.html", form=AccountOpenForm())

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Open it, or show what is wrong."""
        team = self.find_in_team(Team, team_ref)
        form = AccountOpenForm(request.POST, instance=Account(team=team))
        made: list[Account] = []
        if form.is_valid() and _done(
            form,
            lambda: made.append(services.open_account(team=team, actor=self.user, **form.cleaned_data)),
        ):
            messages.success(request, f"{made[0].name} is open. A lead of the team invites its first admin.")
            return redirect("accounts:account-detail", account_ref=made[0].ref)
        return self.show("accounts/account_open.html", form=form, status=422)


# --- the invitation ----------------------------------------------------------------------------------------


@method_decorator(sensitive_post_parameters("password", "password_again"), name="dispatch")
class Join(PortalView):
    """The page that the mail leads to. Opening it changes nothing: mail filters open every link."""

    permission = Permission.PUBLIC

    def get(self, request: HttpRequest, invitation_token: str) -> HttpResponse:
        """Say who invites, to what, as what; offer to accept."""
        invitation = invitations.invitation_of(invitation_token, now=timezone.now())
        return self._page(invitation, JoinForm())

    def post(self, request: HttpRequest, invitation_token: str) -> HttpResponse:
        """Accept: as the user who is logged in with that address, or as somebody new with name and password."""
        invitation = invitations.invitation_of(invitation_token, now=timezone.now())
        if invitation is None:
            return self._page(None, JoinForm())
        if request.user.is_authenticated:
            try:
                invitations.accept_as(self.user, invitation_token)
            except invitations.InvitationGone:
                return self._page(None, JoinForm())
            except Refused as refusal:
                # Answered here: the address of this page must reach no record of refusals.
                status = 403 if isinstance(refusal, NotPermitted) else 422
                return self._page(invitation, JoinForm(), problem=refusal.says, status=status)
            return redirect(self._welcome(invitation))
        form = JoinForm(request.POST)
        if not form.is_valid():
            return self._page(invitation, form, status=422)
        try:
            user = invitations.accept_as_new(
                invitation_token, name=form.cleaned_data["name"], password=form.cleaned_data["password"]
            )
        except invitations.InvitationGone:
            return self._page(None, form)
        except Refused as refusal:
            form.add_error("password" if refusal.code == "password" else None, refusal.says)
            return self._page(invitation, form, status=422)
        response: HttpResponse = perform_password_login(
            request, {}, Login(user=user, redirect_url=self._welcome(invitation))
        )
        return response

    def _welcome(self, invitation: Invitation) -> str:
        """Say so on the next page, whose address is returned."""
        place = invitation.account or invitation.team
        assert place is not None
        messages.success(self.request, f"Welcome to {place}. You are {ROLE_LABELS[invitation.role]} there.")
        name = "accounts:account-detail" if invitation.account is not None else "accounts:team-detail"
        return reverse(name, args=[place.ref])

    def _page(
        self, invitation: Invitation | None, form: JoinForm, *, problem: str = "", status: int = 200
    ) -> HttpResponse:
        if invitation is None:
            response = self.render("accounts/join_gone.html", status=404, says=invitations.GONE)
        else:
            known = self.request.user.is_authenticated
            response = self.render(
                "accounts/join.html",
                status=status,
                invitation=invitation,
                place=invitation.account or invitation.team,
                role=ROLE_LABELS[invitation.role],
                means=invitations.what_it_means(invitation.role),
                form=form,
                problem=problem,
                is_right_person=known and self.user.email == invitation.email,
                log_in_first=not known and invitations.has_log_in(invitation),
                log_in_url=f"{reverse('login')}?next={self.request.path}",
            )
        # Not kept by the browser. Its address is named to this host alone (SECURE_REFERRER_POLICY); with no-referrer a
        # browser would send `Origin: null` with the form, which the check against forged forms refuses.
        response["Cache-Control"] = "no-store"
        return response
