"""Pages of a team's scenarios: read input, call one service, answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from accounts.models import Team
from drills.scenarios import selectors, services, words
from drills.scenarios.comparing import differences
from drills.scenarios.forms import ScenarioForm
from drills.scenarios.models import ScenarioVersion
from drills.scenarios.selectors import BUILT_IN_NUMBER, Shown
from drills.scenarios.types import LONGEST_TITLE
from portal.access import Permission, PortalView, seen_by_team
from portal.errors import NotPermitted, Refused, StaleState
from portal.lists import ListAsked
from portal.paging import keyset

VERSIONS_TO_CHOOSE = 50


class ScenarioPage(PortalView, abstract=True):
    """A page of a team's scenarios."""

    def show(self, template: str, *, status: int = 200, **context: Any) -> HttpResponse:
        """Return a page of the team at hand."""
        return self.render(
            f"drills/scenarios/{template}.html", status=status, team=self.team, nav_key="drills", **context
        )

    def scenario(self, team_ref: UUID, key: str, number: int | None = None) -> Shown:
        """Return a scenario of a team of the user's, or one of its versions; 404 where there is none."""
        team = self.find_in_team(Team, team_ref)
        found = selectors.scenario(team, key, number)
        if found is None:
            raise Http404("There is no such scenario of this team.")
        return found

    def to(self, key: str) -> HttpResponse:
        """Go to a scenario's page."""
        return redirect("drills:scenario", team_ref=self.team.ref, scenario_key=key)

    def address_of(self, key: str) -> str:
        """Return the address of a scenario's page."""
        return reverse("drills:scenario", args=[self.team.ref, key])


class ScenarioHome(PortalView):
    """Where the entry *Drills* leads: to the scenarios of one's team, or to a choice of teams."""

    permission = Permission.SIGNED_IN

    def get(self, request: HttpRequest) -> HttpResponse:
        """Go on where there is one team only."""
        teams = list(seen_by_team(self.user, Team, Permission.SCENARIO_VIEW).order_by("name", "pk")[:200])
        if len(teams) == 1:
            return redirect("drills:scenario-list", team_ref=teams[0].ref)
        return self.render("drills/scenarios/home.html", teams=teams, nav_key="drills")


FILTERS = {
    "by": ("automated", "by_hand", "talk"),
    "held": tuple(kind.value for kind in words.KINDS),
    "in": tuple(one.value for one in words.ENVIRONMENTS),
    "needs": tuple(role.value for role in words.ROLES),
    "show": ("all",),
}


def injected_by(one: Shown) -> str:
    """Return who makes the disruption: the portal (`automated`), people (`by_hand`), nobody (`talk`)."""
    return "automated" if one.scenario.is_automated else one.scenario.injection.value


def fits(one: Shown, asked: ListAsked) -> bool:
    """Whether a list that is narrowed like this shows the scenario."""
    wanted, scenario = asked.filters, one.scenario
    text = f"{scenario.title} {scenario.purpose}".lower()
    return (
        all(word in text for word in asked.text.lower().split())
        and wanted["by"] in ("", injected_by(one))
        and (not wanted["held"] or wanted["held"] in {kind.value for kind in scenario.kinds})
        and (not wanted["in"] or wanted["in"] in {place.value for place in scenario.environments})
        and (not wanted["needs"] or wanted["needs"] in {step.role.value for step in scenario.steps})
    )


class ScenarioList(ScenarioPage):
    """What a team chooses from."""

    permission = Permission.SCENARIO_VIEW

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show the library, then the team's own; filters stand in the address."""
        team = self.find_in_team(Team, team_ref)
        asked = ListAsked.of(request.GET, filters=FILTERS, orders=("usual",))
        found = selectors.library(team, with_unlisted=asked.filters["show"] == "all")
        return self.show(
            "list",
            rows=[
                (
                    one,
                    words.INJECTIONS[one.scenario.injection].name,
                    words.needs_of(one.scenario),
                    ", ".join(words.KINDS[kind] for kind in one.scenario.kinds),
                )
                for one in found
                if fits(one, asked)
            ],
            asked=asked,
            is_narrowed=bool(asked.text or any(asked.filters.values())),
            by_choices=(
                ("automated", "the portal"),
                ("by_hand", "people"),
                ("talk", "nobody: talked through"),
            ),
            held_choices=[(kind.value, said) for kind, said in words.KINDS.items()],
            in_choices=[(one.value, said) for one, said in words.ENVIRONMENTS.items()],
            needs_choices=[(role.value, said) for role, said in words.ROLES.items()],
            has_teams=seen_by_team(self.user, Team).count() > 1,
        )


def said_of(one: Shown) -> dict[str, Any]:
    """Return what the page of a scenario says, in words."""
    scenario = one.scenario
    several = scenario.targets.value in ("several", "list_in_order")
    return {
        "one": one,
        "injection": words.INJECTIONS[scenario.injection],
        "targets": words.TARGETS[scenario.targets]
        + (f", at least {scenario.fewest_targets}" if several and scenario.fewest_targets > 1 else ""),
        "kinds": [words.KINDS[kind] for kind in scenario.kinds],
        "environments": [words.ENVIRONMENTS[place] for place in scenario.environments],
        "claims": words.sentences_of(scenario.hypothesis),
        "steps": [
            (step, words.STEP_KINDS[step.kind], words.ROLES[step.role], words.in_words(step.expected_s))
            for step in scenario.steps
        ],
        "takes": words.in_words(scenario.expected_s),
    }


class ScenarioDetail(ScenarioPage):
    """One scenario, as the team has it now."""

    permission = Permission.SCENARIO_VIEW

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Show it."""
        one = self.scenario(team_ref, scenario_key)
        return self.show("detail", is_newest=True, **said_of(one))


class ScenarioVersionDetail(ScenarioPage):
    """One scenario as it was in a version."""

    permission = Permission.SCENARIO_VIEW

    def get(
        self, request: HttpRequest, team_ref: UUID, scenario_key: str, scenario_number: int
    ) -> HttpResponse:
        """Show it."""
        one = self.scenario(team_ref, scenario_key, scenario_number)
        newest = selectors.scenario(self.team, scenario_key)
        is_newest = newest is not None and newest.number == one.number
        return self.show(
            "detail",
            is_newest=is_newest,
            newest=newest,
            version_said=f"Version {one.number}",
            **said_of(one),
        )


class ScenarioVersions(ScenarioPage):
    """The versions of a scenario."""

    permission = Permission.SCENARIO_VIEW

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Show them, the newest first; the library's own wording stands under them."""
        team = self.find_in_team(Team, team_ref)
        page = keyset(
            selectors.versions(team, scenario_key),
            request,
            order="-number",
            filters={"team": team.pk, "key": scenario_key},
        )
        rows = selectors.shown(page.rows)
        of_library = selectors.of_library(scenario_key)
        one = rows[0] if rows else of_library
        if one is None:
            raise Http404("There is no such scenario of this team.")
        return self.show("versions", one=one, page=page, rows=rows, of_library=of_library)


class ScenarioCompare(ScenarioPage):
    """Two versions side by side."""

    permission = Permission.SCENARIO_VIEW

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Compare `older` with `newer`; where they are not named, the version before with the newest."""
        now = self.scenario(team_ref, scenario_key)
        newer = self._version(scenario_key, request.GET.get("newer"), now.number)
        fewest = BUILT_IN_NUMBER if now.is_of_library else 1
        older = self._version(scenario_key, request.GET.get("older"), max(newer.number - 1, fewest))
        if older.number > newer.number:
            older, newer = newer, older
        numbers = list(
            selectors.versions(self.team, scenario_key)
            .select_related(None)
            .values_list("number", flat=True)[:VERSIONS_TO_CHOOSE]
        )
        # Of very many the choice has the newest ones; the two at hand are always among them.
        choices = {*numbers, older.number, newer.number, *([BUILT_IN_NUMBER] if now.is_of_library else [])}
        return self.show(
            "compare",
            one=now,
            older=older,
            newer=newer,
            said=f"{now.scenario.title}: from version {older.number} to version {newer.number}.",
            differences=differences(older.scenario, newer.scenario),
            choices=sorted(choices, reverse=True),
        )

    def _version(self, key: str, asked: str | None, otherwise: int) -> Shown:
        text = (asked or "").strip()
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else otherwise
        found = selectors.scenario(self.team, key, number)
        if found is None:
            raise Http404("There is no such version of this scenario.")
        return found


class _Written(ScenarioPage, abstract=True):
    """The form of a scenario: rows are rearranged without checking anything, *keep* asks every rule."""

    def answer(
        self,
        request: HttpRequest,
        *,
        keep: Callable[[ScenarioForm], ScenarioVersion | None],
        otherwise: str,
        key: str = services.NO_KEY,
        **context: Any,
    ) -> HttpResponse:
        """Rearrange or keep what was sent; a refusal is shown over what was typed."""
        command = request.POST.get("do", "keep")
        if command != "keep":
            return self.form(ScenarioForm.rearranged(request.POST, command), **context)
        form = ScenarioForm.sent(request.POST)
        if form.is_valid(key=key):
            try:
                made = keep(form)
            except (NotPermitted, StaleState):
                raise
            except Refused as refusal:
                form.head.add_error(None, refusal.says)
            else:
                messages.success(
                    request,
                    "Nothing was changed, so there is no new version."
                    if made is None
                    else f"Kept as version {made.number}. Drills that have an older version keep it.",
                )
                return self.to(made.key if made is not None else otherwise)
        return self.form(form, status=422, **context)

    def form(self, form: ScenarioForm, *, status: int = 200, **context: Any) -> HttpResponse:
        """Show the form."""
        head = form.head
        return self.show(
            "form",
            form=form,
            head=head,
            what=[head[name] for name in ("title", "purpose")],
            where=[
                head[name] for name in ("injection", "targets", "fewest_targets", "kinds", "environments")
            ],
            proof=[head[name] for name in head.PROOF],
            limits=[head[name] for name in head.LIMITS],
            after=[head[name] for name in ("undo", "questions", "after_boot")],
            again=[head[name] for name in ("repeat_after_days", "repeat_after_failure_days")],
            note=head["note"],
            status=status,
            **context,
        )


class ScenarioNew(_Written):
    """Write a scenario of the team's own."""

    permission = Permission.SCENARIO_EDIT

    def get(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Show an empty form."""
        self.find_in_team(Team, team_ref)
        return self.form(ScenarioForm.of(None))

    def post(self, request: HttpRequest, team_ref: UUID) -> HttpResponse:
        """Rearrange its rows, or keep it."""
        team = self.find_in_team(Team, team_ref)
        return self.answer(
            request,
            keep=lambda form: services.write_scenario(
                team, form.content, actor=self.user, note=form.head.cleaned_data["note"]
            ),
            otherwise="",
        )


class ScenarioEdit(_Written):
    """Change a scenario, which makes a new version."""

    permission = Permission.SCENARIO_EDIT

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Show it as it is now."""
        one = self.scenario(team_ref, scenario_key)
        return self.form(ScenarioForm.of(one.scenario), one=one, seen=one.number)

    def post(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Rearrange its rows, or keep it."""
        one = self.scenario(team_ref, scenario_key)
        seen = seen_in(request, one.number)
        return self.answer(
            request,
            keep=lambda form: services.change_scenario(
                self.team,
                scenario_key,
                form.content,
                seen=seen,
                actor=self.user,
                note=form.head.cleaned_data["note"],
            ),
            otherwise=scenario_key,
            key=scenario_key,
            one=one,
            seen=seen,
        )


def seen_in(request: HttpRequest, otherwise: int) -> int:
    """Return the number of the version that somebody had before them."""
    text = request.POST.get("seen") or request.GET.get("seen") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else otherwise


class ScenarioCopy(ScenarioPage):
    """Begin a scenario of the team's own with the content of another one."""

    permission = Permission.SCENARIO_EDIT

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Ask for a title."""
        return self._ask(self.scenario(team_ref, scenario_key))

    def post(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Copy it and go there."""
        one = self.scenario(team_ref, scenario_key)
        title = request.POST.get("title", "")
        try:
            made = services.copy_scenario(self.team, scenario_key, title=title, actor=self.user)
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._ask(one, title=title, problem=refusal.says, status=422)
        messages.success(request, "Copied. Change it as you like: the other one stays as it is.")
        return self.to(made.key)

    def _ask(self, one: Shown, *, title: str = "", problem: str = "", status: int = 200) -> HttpResponse:
        return self.show(
            "copy", one=one, title=title, problem=problem, longest_title=LONGEST_TITLE, status=status
        )


class _Asked(ScenarioPage, abstract=True):
    """A change of the list that is asked for on a page of its own, with a note."""

    def ask(
        self, one: Shown, *, title: str, text: str, button: str, problem: str = "", status: int = 200
    ) -> HttpResponse:
        """Show the question."""
        return self.render(
            "components/confirm_page.html",
            title=title,
            text=text,
            action=f"{self.request.path}?seen={seen_in(self.request, one.number)}",
            button=button,
            tone="primary",
            reason="optional",
            reason_typed=self.request.POST.get("reason", ""),
            problem=problem,
            back_url=self.address_of(one.key),
            back_label=one.scenario.title,
            nav_key="drills",
            status=status,
        )


class ScenarioListed(_Asked):
    """Take a scenario off the list, or put it there again."""

    permission = Permission.SCENARIO_EDIT

    def get(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Ask."""
        return self._question(self.scenario(team_ref, scenario_key))

    def post(self, request: HttpRequest, team_ref: UUID, scenario_key: str) -> HttpResponse:
        """Do it, as a new version."""
        one = self.scenario(team_ref, scenario_key)
        try:
            services.set_listed(
                self.team,
                scenario_key,
                not one.is_listed,
                seen=seen_in(request, one.number),
                actor=self.user,
                note=request.POST.get("reason", ""),
            )
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._question(one, problem=refusal.says, status=422)
        messages.success(
            request, "It is off the list. Drills keep it." if one.is_listed else "It is on the list again."
        )
        return redirect("drills:scenario-list", team_ref=self.team.ref)

    def _question(self, one: Shown, **more: Any) -> HttpResponse:
        if one.is_listed:
            return self.ask(
                one,
                title=f"Take “{one.scenario.title}” off the list",
                text="It is no longer offered for new drills of this team. Drills that have it keep it, and it can be put "
                "on the list again.",
                button="Take it off the list",
                **more,
            )
        return self.ask(
            one,
            title=f"Put “{one.scenario.title}” on the list again",
            text="It is offered for new drills of this team again, as it was last.",
            button="Put it on the list",
            **more,
        )


class ScenarioGoBack(_Asked):
    """Make an older version the newest one."""

    permission = Permission.SCENARIO_EDIT

    def get(
        self, request: HttpRequest, team_ref: UUID, scenario_key: str, scenario_number: int
    ) -> HttpResponse:
        """Ask."""
        return self._question(*self._found(team_ref, scenario_key, scenario_number))

    def post(
        self, request: HttpRequest, team_ref: UUID, scenario_key: str, scenario_number: int
    ) -> HttpResponse:
        """Do it, as a new version."""
        older, now = self._found(team_ref, scenario_key, scenario_number)
        try:
            made = services.go_back(
                self.team,
                scenario_key,
                scenario_number,
                seen=seen_in(request, now.number),
                actor=self.user,
                note=request.POST.get("reason", ""),
            )
        except (NotPermitted, StaleState):
            raise
        except Refused as refusal:
            return self._question(older, now, problem=refusal.says, status=422)
        messages.success(
            request,
            "It reads like that already, so there is no new version."
            if made is None
            else f"Version {made.number} reads like version {scenario_number} again.",
        )
        return self.to(scenario_key)

    def _found(self, team_ref: UUID, key: str, number: int) -> tuple[Shown, Shown]:
        older = self.scenario(team_ref, key, number)
        now = selectors.scenario(self.team, key)
        return older, now or older

    def _question(self, older: Shown, now: Shown, **more: Any) -> HttpResponse:
        named = "the wording that comes with the portal" if older.number == 0 else f"version {older.number}"
        return self.ask(
            now,
            title=f"Back to version {older.number} of “{now.scenario.title}”",
            text=f"A new version is made that reads like {named}. What was written since stays among its versions.",
            button=f"Go back to version {older.number}",
            **more,
        )
