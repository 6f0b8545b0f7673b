"""A desk with a site on loopback that is proven, and a profile that both sides approved."""

from __future__ import annotations

from capacity.hosts import services as hosts
from capacity.loads import services
from portal.approvals.models import Verdict


def fields(site, **changes):
    given = {
        "name": "front page",
        "requests": [
            {"method": "GET", "url": f"{site.url}a?x=1", "weight": 3},
            {"method": "HEAD", "url": f"{site.url}b", "weight": 1},
        ],
        "shape": {"kind": "steady", "unit": "users", "level": 4, "duration_s": 2},
        "stops": {"error_ratio": 0.5, "window_s": 2, "p95_ms": None},
        "max_users": 10,
        "max_requests_per_s": 40.0,
        "think_s": 0.05,
    }
    return {**given, **changes}


def prove(here, site):
    host = hosts.add(here.account, site.place, actor=here.editor)
    site.proof = host.proof
    return hosts.check(host, actor=here.editor)


def approved(here, site, **changes):
    profile = services.draft(here.account, fields(site, **changes), actor=here.editor)
    profile = services.submit(profile, actor=here.manager)
    return services.decide(profile, Verdict.APPROVE, actor=here.approver, seen_digest=profile.digest)


def started(here, site, **changes):
    profile = approved(here, site, **changes)
    return services.start(
        profile,
        actor=here.manager,
        seen_digest=profile.digest,
        reason="Before the sale.",
        node_count=2,
        flavor="general1-4",
        software="shop 4.2",
    )
