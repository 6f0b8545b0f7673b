"""Examples in the OpenAPI document."""

from __future__ import annotations

from typing import Any

REF = "0b3f6f0e-6f5e-4d83-9d6c-2f0f5b1f6f11"
TEAM = {"ref": "5f0c7a52-43a5-4b7c-9f46-f7ad5b6d9b0e", "name": "Launch team North"}
AT = "2026-11-23T12:10:00Z"
ACCOUNT: dict[str, Any] = {
    "ref": REF,
    "name": "Lindgren Outdoor",
    "number": "482113",
    "team": TEAM,
    "time_zone": "Europe/Stockholm",
    "service_level": "managed",
    "milestone": 4,
    "status": "active",
    "notes": "",
    "team_notes": None,
    "created_at": AT,
    "updated_at": AT,
}
CONTACT_IN: dict[str, Any] = {
    "name": "Maja Lindgren",
    "title": "Head of operations",
    "email": "maja@lindgren.example",
    "phone": "+46701234567",
    "time_zone": "Europe/Stockholm",
    "roles": ["primary", "emergency"],
    "escalation_order": 1,
    "notes": "",
}
CONTACT_REF = "c1b7f9a0-2d7c-4c0a-8e11-0d3b9a6c7712"
CONTACT: dict[str, Any] = {
    "ref": CONTACT_REF,
    "account": REF,
    "organization": "Lindgren Outdoor AB",
    "is_shared_mailbox": False,
    "more_phones": ["+46812345678"],
    "no_phone_because": "",
    "hours": "weekly",
    "weekly_hours": [{"day": 0, "from": "08:00", "until": "17:00"}],
    "holidays_country": "SE",
    "holidays_subdivision": "",
    "days_off": ["2026-12-23"],
    "preferred_channel": "phone",
    "language": "sv",
    "authority": "technical",
    "role_orders": {"emergency": 2},
    "responsible_for": [{"kind": "load_balancer", "id": "71", "label": "shop"}],
    "valid_from": None,
    "valid_until": None,
    "external_id": "hr-1017",
    **CONTACT_IN,
    "confirmed_on": "2026-11-20",
    "confirmed_by_name": "Jonas Berg",
    "freshness": "confirmed",
    "bouncing_since": None,
    "seen": "4f0c5e9ad1b2c3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c",
    "disowned_at": None,
    "disowned_says": "",
    "mail_proven_at": AT,
    "phones_proven": {"+46701234567": AT},
    "is_proven": True,
    "created_at": AT,
    "updated_at": AT,
}
CONTACT_LINK: dict[str, Any] = {
    "ref": "3b1f4c7e-94f5-4f0e-8a35-6a0ce3a0d9b4",
    "use": "prove",
    "made_at": AT,
    "expires_at": "2026-12-07T12:10:00Z",
}
CALL_ORDER: dict[str, Any] = {
    "role": "emergency",
    "at": AT,
    "people": [
        {
            "contact": CONTACT_REF,
            "name": "Maja Lindgren",
            "place": 1,
            "phone": "+46701234567",
            "phones": ["+46701234567", "+46812345678"],
            "email": "maja@lindgren.example",
            "time_zone": "Europe/Stockholm",
            "local_time": "2026-11-23T13:10:00+01:00",
            "is_reachable_now": True,
            "is_proven": True,
            "is_on_duty": False,
            "is_expired": False,
            "is_bouncing": False,
            "preferred_channel": "phone",
            "language": "sv",
            "why_not": "",
        }
    ],
}
GAP: dict[str, Any] = {
    "role": "backup",
    "code": "no_backup",
    "says": "There is no backup besides the primary.",
    "todo": "Add somebody for primary, technical or emergency.",
}
OVERRIDE: dict[str, Any] = {
    "ref": "de4c2f1a-6d35-4e0c-9a0e-60c1a1f0b7a4",
    "reason": "Maja is on leave; the customer's director is on the bridge with us.",
    "by_name": "Lena Holm",
    "at": AT,
    "expires_at": "2026-11-24T12:10:00Z",
    "gaps": ["no_backup"],
    "ended_at": None,
}
COVERAGE: dict[str, Any] = {
    "preset": "standard",
    "rules": [{"role": "primary", "count": 1, "around_the_clock": False, "proven_within_days": 180}],
    "gaps": [GAP],
    "may_begin": True,
    "begin_gaps": [GAP],
    "override": OVERRIDE,
}
ROTATION_IN: dict[str, Any] = {
    "name": "On call",
    "time_zone": "Europe/Stockholm",
    "starts_on": "2026-11-23",
    "hand_overs": [{"day": 0, "at": "09:00"}],
    "members": [CONTACT_REF],
    "roles": ["emergency"],
}
ROTATION: dict[str, Any] = {
    "ref": "9a6a5b0e-7f0e-4f57-8a57-0b6f3f5f7c11",
    "account": REF,
    **ROTATION_IN,
    "on_duty": CONTACT_REF,
    "next_hand_over_at": "2026-11-30T09:00:00+01:00",
    "next_on_duty": CONTACT_REF,
    "created_at": AT,
    "updated_at": AT,
}
PARTY_IN: dict[str, Any] = {
    "kind": "registrar",
    "name": "Nordic Names",
    "customer_number": "88-1207",
    "phone": "+46812000000",
    "email": "support@names.example",
    "url": "https://names.example/support",
    "how_to_reach": "Say the customer number first. Nobody answers at night.",
}
PARTY: dict[str, Any] = {
    "ref": "1d0ab2fc-8f4b-44b3-9a52-9bb0f1f6f6f0",
    "account": REF,
    **PARTY_IN,
    "created_at": AT,
    "updated_at": AT,
}
_ON_DUTY: dict[str, Any] = {
    "name": "Jonas Berg",
    "phone": "+46811111111",
    "begins": AT,
    "ends": "2026-11-30T08:00:00Z",
}
DUTY: dict[str, Any] = {
    "team": "Launch team North",
    "number": "+46810000000",
    "bridge": "+46810000001, code 71",
    "now": _ON_DUTY,
    "tonight": _ON_DUTY,
}
CONNECTION_IN: dict[str, Any] = {
    "name": "Shop, Dallas",
    "provider": "rackspace",
    "identity_url": "https://identity.api.rackspacecloud.com/v2.0",
    "username": "lindgren-portal",
    "api_key": "…",
    "tenant": "482113",
    "region": "DFW",
}
CHECK: dict[str, Any] = {
    "is_usable": True,
    "checked_at": AT,
    "lines": [{"name": "log_in", "outcome": "ok", "says": "Log-in works for account 482113 in DFW."}],
}
CONNECTION: dict[str, Any] = {
    "ref": "77f5b0de-5a2f-4b0c-a8a5-4a2f8f6b1c55",
    "account": REF,
    **{key: value for key, value in CONNECTION_IN.items() if key != "api_key"},
    "last_checked_at": AT,
    "check_result": CHECK,
    "used_at": None,
    "created_at": AT,
    "updated_at": AT,
}
NETWORK: dict[str, Any] = {
    "ref": "0f3b7c52-9d1e-4b0c-9a1b-6d5cf4d4c0aa",
    "network": "10.1.0.0/16",
    "reason": "Status pages of the shop's servers.",
    "opened_at": AT,
}
SERVER: dict[str, Any] = {
    "id": "8f1d2c9e-0b6a-4f38-9f6f-3a0c7b1e2d44",
    "name": "web-07",
    "status": "ACTIVE",
    "addresses": ["10.0.0.7"],
}
NODE: dict[str, Any] = {
    "id": "4417",
    "address": "10.0.0.7",
    "port": 80,
    "condition": "ENABLED",
    "status": "ONLINE",
    "type": "PRIMARY",
    "weight": 1,
}
DISCOVERY: dict[str, Any] = {
    "is_fully_matched": True,
    "pools": [
        {
            "balancer_id": "71",
            "name": "shop",
            "status": "ACTIVE",
            "has_health_monitor": True,
            "session_persistence": None,
            "members": [{"node": NODE, "server": SERVER}],
        }
    ],
    "unknown_nodes": [],
    "ambiguous_nodes": [],
    "servers_in_none": [],
    "servers_in_several": [],
    "gone_balancers": [],
}
TOKEN_IN: dict[str, Any] = {
    "name": "nightly report",
    "scopes": ["accounts:read", "scaledown:read"],
    "expires_at": "2027-02-23T12:00:00Z",
    "networks": ["203.0.113.0/24"],
}
TOKEN: dict[str, Any] = {
    "ref": "d2a8fd0e-6c1b-4a5b-b7a5-0a3c8ee5b001",
    "name": "nightly report",
    "prefix": "ss_4hTq81Zk",
    "scopes": TOKEN_IN["scopes"],
    "networks": TOKEN_IN["networks"],
    "created_at": AT,
    "expires_at": TOKEN_IN["expires_at"],
    "last_used_at": None,
    "revoked_at": None,
}
TOKEN_MADE: dict[str, Any] = {**TOKEN, "token": "ss_…"}
ME: dict[str, Any] = {
    "ref": "9d7c5f5e-19c9-4d6e-8a55-1a3d4f0b2c77",
    "email": "jonas@team.example",
    "name": "Jonas Berg",
    "time_zone": "Europe/Stockholm",
    "is_operator": False,
    "accounts": [],
    "teams": [{**TEAM, "role": "launch_manager"}],
    "scopes": None,
}

PERSON = {"ref": "8a1f7a0e-53a7-4d6e-9d5e-3b3b1a3f6f10", "name": "Vera Holm"}
SERVICE_TOKEN_IN: dict[str, Any] = {**TOKEN_IN, "role": "viewer"}
SERVICE_TOKEN: dict[str, Any] = {**TOKEN, "prefix": "ssa_4hTq81Z", "role": "viewer", "made_by": PERSON}
SERVICE_TOKEN_MADE: dict[str, Any] = {**SERVICE_TOKEN, "token": "ssa_…"}
MEMBER: dict[str, Any] = {
    "ref": "d5b3a1e4-0f7e-4b57-8a0e-0c9a0a7d2b11",
    "user": PERSON,
    "email": "vera@lindgren.example",
    "role": "viewer",
    "granted_by_name": "Maja Lindgren",
    "granted_as": "admin",
    "granted_at": AT,
    "last_login": AT,
    "is_active": True,
    "has_second_factor": True,
    "updated_at": AT,
}
TEAM_MEMBER: dict[str, Any] = {
    "ref": "0c8f3fd1-6d3a-4a36-9c14-62a5a2c6b912",
    "user": {"ref": "b7b8a0d6-8f0e-4a7e-8bb2-1f2f8f1d0a13", "name": "Jonas Berg"},
    "email": "jonas@north.example",
    "role": "launch_manager",
    "granted_by_name": "Lena Fors",
    "last_login": AT,
    "is_active": True,
    "has_second_factor": True,
    "created_at": AT,
    "updated_at": AT,
}
INVITATION: dict[str, Any] = {
    "ref": "e1c9b2a7-44a4-4b33-8e6c-9d9a3f7f0c14",
    "email": "vera@lindgren.example",
    "role": "viewer",
    "state": "pending",
    "prefix": "ssi_Xk3dQp",
    "invited_by_name": "Maja Lindgren",
    "created_at": AT,
    "expires_at": "2026-11-30T12:10:00Z",
    "accepted_at": None,
    "revoked_at": None,
    "updated_at": AT,
}
TEAM_OUT: dict[str, Any] = {**TEAM, "created_at": AT}
JOINED: dict[str, Any] = {"account": {"ref": REF, "name": "Lindgren Outdoor"}, "team": None, "role": "viewer"}
