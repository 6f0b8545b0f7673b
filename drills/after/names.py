"""As what somebody stands in a drill: reports show roles, and names only to who may read them (`plans.selectors`)."""

from __future__ import annotations

from accounts.models import User
from drills.plans.models import Drill
from drills.scenarios.types import Role
from drills.scenarios.words import ROLES


def role_of_user(user: User, drill: Drill) -> Role | None:
    """Return as what somebody stands in a drill; None for who has no part in it. At most two queries."""
    if user.pk == drill.facilitator.pk:
        return Role.FACILITATOR
    part = drill.parts.filter(user=user).values_list("role", flat=True).first()
    if part is not None:
        return Role(part)
    is_team = drill.account.team.memberships.filter(user=user).exists()
    return Role.LAUNCH_MANAGER if is_team else None


def role_word(role: str) -> str:
    """Return a role as readers see it who are not told names."""
    return ROLES[Role(role)] if role else "somebody with access"
