"""Who worked on a plan does not approve it; what one's rights were is asked again."""

from __future__ import annotations

import pytest

from portal.errors import NotPermitted
from scaledown import services
from tests.scaledown.rows import desk
from tests.scaledown.test_services import drafted

pytestmark = pytest.mark.django_db


def test_whoever_changed_the_draft_of_another_does_not_approve_it_for_the_customer():
    here = desk()
    plan = drafted(here, actor=here.editor, floor=1)
    from dataclasses import replace

    choice = replace(services.choice_of(plan), soak_s=400)
    plan = services.edit_draft(plan, actor=here.approver, choice=choice, title="As the approver wants it")
    plan = services.submit_plan(plan, actor=here.manager, pool=here.pool)
    with pytest.raises(NotPermitted):
        services.approve_plan(plan, actor=here.approver, seen_digest=plan.digest)
