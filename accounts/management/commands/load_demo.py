"""Two customers, their people and a pool that was scaled up, on a desk. Can be run again: nothing is doubled.

The cloud is the simulator's. What a plan and a scale-up record need is loaded by `scaledown.demo.load`,
called by name since imports point the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import services
from accounts.clouds import discover_pools, test_connection
from accounts.models import Account, CloudConnection, Team, User
from portal.cloud.discovery import Discovery, Pool
from portal.errors import ProviderFailed, Refused, TryLater

# The desk's only; the command refuses to run anywhere else.
DESK_PASSWORD = "steady-as-she-goes"  # noqa: S105
TEAM = "Launch team North"
# What the simulator's servers carry and how full three of them are at the daily peak (portal/simulator).
CEILING_RPS = 90.0
PEAK_RPS_PER_OLD_SERVER = 55.0


@dataclass(frozen=True)
class Customer:
    """One made-up customer with the simulator's tenant and demo credentials."""

    number: str
    name: str
    time_zone: str
    milestone: int
    username: str
    api_key: str
    domain: str
    people: tuple[tuple[str, str], ...]
    percent_a_month: float
    """How its traffic grows."""


CUSTOMERS = (
    Customer(
        "123456",
        "Lindgren Outdoor",
        "Europe/Stockholm",
        4,
        "demo",
        "demo-api-key",
        "lindgren.example",
        (
            ("viewer", "Vera Holm"),
            ("editor", "Emil Sand"),
            ("approver", "Astrid Lund"),
            ("admin", "Maja Lindgren"),
        ),
        4.1,
    ),
    Customer(
        "654321",
        "Harbor Books",
        "America/Chicago",
        5,
        "demo-two",
        "demo-two-api-key",
        "harbor.example",
        (("approver", "Ana Ruiz"), ("admin", "Tom Keller")),
        1.2,
    ),
)


class Command(BaseCommand):
    """Load the demo and print the log-ins."""

    help = "Load demo accounts on a desk; refuses to run in production."

    def add_arguments(self, parser: CommandParser) -> None:
        """The password of all demo users."""
        parser.add_argument("--password", default=DESK_PASSWORD)

    def handle(self, *args: Any, **options: Any) -> None:
        """Load what is not there yet."""
        if not settings.DESK_MODE:
            raise CommandError("The demo's users have a known password: it is loaded in DESK_MODE only.")
        password = options["password"]
        team, _ = Team.objects.get_or_create(name=TEAM)
        manager = self._user("jonas@north.example", "Jonas Berg", password, "Europe/Stockholm")
        lead = self._user("lena@north.example", "Lena Fors", password, "Europe/Stockholm")
        services.add_to_team(team, manager, "launch_manager")
        services.add_to_team(team, lead, "lead")
        self._user("ops@north.example", "Olof Drift", password, "UTC", is_operator=True)
        log_ins = [("launch manager", manager.email), ("lead", lead.email)]
        for customer in CUSTOMERS:
            account = self._account(customer, team, manager)
            people = self._people(customer, account, lead, password)
            log_ins += [(f"{role}, {customer.name}", user.email) for role, user in people.items()]
            if settings.SIMULATOR_URL:
                self._cloud(customer, account, manager, people)
        log_ins.append(("operator", "ops@north.example"))
        self.stdout.write("Log-ins (password of all: " + password + ")")
        for role, email in log_ins:
            self.stdout.write(f"  {email:28} {role}")

    def _user(self, email: str, name: str, password: str, time_zone: str, **fields: Any) -> User:
        found = User.objects.filter(email=email).first()
        if found is None:
            return services.create_user(
                email=email, name=name, password=password, time_zone=time_zone, **fields
            )
        if not found.check_password(password):
            found.set_password(password)
            found.save(update_fields=["password"])
        return found

    def _account(self, customer: Customer, team: Team, manager: User) -> Account:
        found = Account.objects.filter(team=team, number=customer.number).first()
        if found is not None:
            return found
        return services.open_account(
            team=team,
            name=customer.name,
            number=customer.number,
            time_zone=customer.time_zone,
            milestone=customer.milestone,
            service_level="managed",
            actor=manager,
        )

    def _people(self, customer: Customer, account: Account, lead: User, password: str) -> dict[str, User]:
        people = {}
        for order, (role, name) in enumerate(customer.people, start=1):
            email = f"{name.split()[0].lower()}@{customer.domain}"
            people[role] = user = self._user(email, name, password, customer.time_zone)
            if not account.memberships.filter(user=user).exists():
                services.grant_role(account, user, role, actor=None)
            if role in {"approver", "admin"} and not account.contacts.filter(name=name).exists():
                contact = services.add_contact(
                    account,
                    {
                        "name": name,
                        "title": "Head of operations" if role == "admin" else "Site reliability",
                        "email": email,
                        "phone": f"+4670174060{order}",
                        "time_zone": customer.time_zone,
                        "roles": ["primary", "emergency"] if role == "admin" else ["technical", "emergency"],
                        "escalation_order": 1 if role == "admin" else 2,
                    },
                    actor=lead,
                )
                if role == "admin":
                    services.confirm_contact(contact, actor=user, on=timezone.now().date())
        return people

    def _cloud(self, customer: Customer, account: Account, manager: User, people: dict[str, User]) -> None:
        identity_url = f"{settings.SIMULATOR_URL}/v2.0"
        connection = account.connections.filter(name="Simulator").first()
        if connection is None:
            connection = services.add_connection(
                account,
                {
                    "name": "Simulator",
                    "identity_url": identity_url,
                    "username": customer.username,
                    "api_key": customer.api_key,
                    "tenant": customer.number,
                    "region": "DFW",
                },
                actor=manager,
            )
        try:
            result = test_connection(connection)
            services.store_check(connection, result, at=timezone.now(), actor=manager)
            if not result["is_usable"]:
                # Scenarios other than `desk` have no second tenant.
                self.stderr.write(f"{customer.name}: the simulator has no such tenant in this scenario.")
                return
            found = discover_pools(connection)
        except (TryLater, ProviderFailed, Refused) as trouble:
            raise CommandError(f"The simulator could not be read: {trouble.says}") from trouble
        event = self._event(account, found)
        for pool in found.pools:
            if pool.members:
                self._know(account, connection, pool, manager)
        self._traffic(customer, account, connection, found, event, manager)
        hook = _scaledown_demo()
        if hook is not None and event is not None:
            hook(
                account=account,
                connection=connection,
                event=event,
                found=found,
                manager=manager,
                people=people,
            )

    def _traffic(
        self,
        customer: Customer,
        account: Account,
        connection: CloudConnection,
        found: Discovery,
        event: Any,
        manager: User,
    ) -> None:
        """Give the pool that was scaled up a year of traffic, where the account has none yet, and size it by that."""
        pool = next((one for one in found.pools if any(_is_added(member) for member in one.members)), None)
        if pool is None:
            return
        old = sum(1 for member in pool.members if not _is_added(member))
        demo = import_module("capacity.demo_traffic")
        demo.load(
            account,
            pool.balancer.name,
            ends=timezone.now(),
            peak_rps=max(1, old) * PEAK_RPS_PER_OLD_SERVER,
            percent_a_month=customer.percent_a_month,
            event=None if event is None else (event.starts_at, event.ends_at),
        )
        demo.size(account, connection, found, pool, manager)

    def _event(self, account: Account, found: Discovery) -> Any:
        """Return the traffic event for which servers were added; None where none were."""
        model = apps.get_model("capacity", "TrafficEvent")
        known = model._default_manager.filter(account=account, name="Autumn launch").first()
        if known is not None:
            return known
        added = [
            member.server.created_at for pool in found.pools for member in pool.members if _is_added(member)
        ]
        if not added:
            return None
        starts_at = min(added) - timedelta(hours=2)
        return import_module("capacity.events").add_event(
            account,
            name="Autumn launch",
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=3),
            expected_multiple=2.0,
            actor=None,
        )

    def _know(self, account: Account, connection: CloudConnection, pool: Pool, manager: User) -> None:
        """Enter what a pool is held against, its probe and its count source, where it has none yet."""
        capacity = import_module("capacity.services")
        of_pool = {"connection": connection, "balancer_id": pool.balancer.id}
        now = timezone.now()
        old = sum(1 for member in pool.members if not _is_added(member))
        if not apps.get_model("capacity", "Ceiling")._default_manager.filter(**of_pool).exists():
            capacity.enter_ceiling(
                account,
                connection,
                pool.balancer.id,
                requests_per_s=CEILING_RPS,
                source="step benchmark on the desk",
                at=now,
                actor=manager,
            )
            capacity.enter_forecast_peak(
                account,
                connection,
                pool.balancer.id,
                requests_per_s=max(1, old) * PEAK_RPS_PER_OLD_SERVER,
                source="the daily peak before the event",
                at=now,
                actor=manager,
            )
        capacity.set_probe(
            account,
            connection,
            pool.balancer.id,
            name="front page",
            actor=manager,
            url=f"{settings.SIMULATOR_URL}/site/{pool.balancer.id}/",
            timeout_s=3.0,
            latency_limit_ms=1500.0,
        )
        if not apps.get_model("capacity", "Objective")._default_manager.filter(**of_pool).exists():
            capacity.enter_objective(
                account,
                connection,
                pool.balancer.id,
                error_ratio=0.001,
                latency_ms=400.0,
                source="the contract, annex 2",
                at=now,
                actor=manager,
            )
            capacity.enter_baseline(
                account,
                connection,
                pool.balancer.id,
                load_per_node_rps=25.0,
                latency_p50_ms=84.0,
                latency_p95_ms=120.0,
                error_ratio=0.0,
                measured_at=now - timedelta(days=1),
                source="an hour of probes",
                at=now,
                actor=manager,
            )
        capacity.set_count_source(
            account,
            connection,
            pool.balancer.id,
            kind="nginx_stub_status",
            actor=manager,
            url_template=f"{settings.SIMULATOR_URL}/servers-net/{{address}}/stub_status",
        )
        import_module("capacity.demo").load(account, connection, pool.balancer.id, actor=manager)


def _is_added(member: Any) -> bool:
    return "added_for" in member.server.metadata


def _scaledown_demo() -> Any:
    """Return `scaledown.demo.load`, or None where that app has no demo."""
    if not apps.is_installed("scaledown"):
        return None
    try:
        return import_module("scaledown.demo").load
    except ModuleNotFoundError as missing:
        if missing.name == "scaledown.demo":
            return None
        raise
