"""Settings, from the environment only. Every variable is listed in docs/operations.md.

Commands that need no service (`check`, `spectacular`, `makemigrations --check`) work with nothing set.
What a production portal must have is checked by `portal/checks.py` with a sentence for each thing wrong.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import environ

from portal.issuers import oidc_issuers, origins_of

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
# Variables that cannot be read, with the sentence why; their defaults stand until portal/checks.py refuses to serve.
MALFORMED: list[str] = []


def number(name: str, default: float) -> float:
    """Return a variable as a number above 0; what is none is noted in MALFORMED."""
    text = env.str(name, default="")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        MALFORMED.append(f"{name} is no number above 0. Set one such as {default:g}, or leave it out.")
        return default
    return value


# Desk mode: everything on one machine, plain http on localhost. Each setting that is only safe there is
# refused at start when DESK_MODE is off (portal/checks.py).
DESK_MODE = env.bool("DESK_MODE", default=False)
DEBUG = False
# The fallback lets `check` run with nothing set; portal/checks.py refuses to serve with it.
INSECURE_SECRET_KEY = "not-secret-only-for-commands-that-serve-nothing-0123456789"  # noqa: S105
SECRET_KEY = env.str("SECRET_KEY", default=INSECURE_SECRET_KEY)
# Keys that SECRET_KEY replaced: what was proven under them still counts.
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
# Fernet keys, newest first; the first encrypts, all decrypt (rotation).
FIELD_KEYS: list[str] = env.list("FIELD_KEYS", default=[])
AUDIT_KEY = env.str("AUDIT_KEY", default="")
# Retired audit keys: they seal nothing any more, and verify what they sealed.
AUDIT_OLD_KEYS: list[str] = env.list("AUDIT_OLD_KEYS", default=[])
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost"] if DESK_MODE else [])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "portal",
    "portal.audit",
    "portal.events",
    "portal.approvals",
    "portal.runs",
    "portal.notify",
    "portal.webhooks",
    "accounts",
    "capacity",
    "scaledown",
    "drills",
]

MIDDLEWARE = [
    "portal.middleware.DeskHostMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.sessions.LastSeenMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "portal.middleware.RequestContextMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.portal",
            ],
        },
    }
]

# A database that is not there is fine for commands that ask nothing of it.
DATABASES = {
    "default": {
        **env.db("DATABASE_URL", default="postgres:///steadystate"),
        "ENGINE": "django.db.backends.postgresql",
        "CONN_MAX_AGE": env.int("DB_CONN_MAX_AGE", default=60),
        "CONN_HEALTH_CHECKS": True,
        "ATOMIC_REQUESTS": False,
    }
}
DATABASES["default"].setdefault("OPTIONS", {})
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", 5)
DATABASES["default"]["OPTIONS"].setdefault("application_name", env.str("PROCESS_NAME", default="portal"))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="redis://localhost:6379/0")
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "email")},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
# allauth gives the steps of a log-in and the second factors; our views, templates and throttle stand before it
# (docs/decisions/0014-log-in.md). Nobody signs up: people come by invitation.
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Tries are counted in the database (accounts/throttle.py): allauth's counts live in the cache, which may be emptied.
ACCOUNT_RATE_LIMITS = False
ACCOUNT_LOGIN_TIMEOUT = 10 * 60
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Steady State"
# A phone's clock may be one step of 30 s off.
MFA_TOTP_TOLERANCE = 1
MFA_RATE_LIMITS = False
# A browser gives a key to https only; on a desk to plain http on localhost as well. Refused elsewhere at start.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = env.bool("MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN", default=DESK_MODE)
# Roles whose holders must have a second factor (portal/access.py asks); the names are checked at start.
REQUIRE_SECOND_FACTOR: list[str] = [
    role.strip() for role in env.list("REQUIRE_SECOND_FACTOR", default=[]) if role.strip()
]
SECOND_FACTOR_URL = "second-factor"
# How long a proof (password, code or key) lasts for what asks for a fresh one, in seconds.
PROOF_LASTS_S = 15 * 60
# Organizations through which people log in (docs/operations.md). A malformed list is refused at start.
OIDC_ISSUERS = oidc_issuers(env.str("OIDC_ISSUERS", default=""), DESK_MODE, MALFORMED)
SOCIALACCOUNT_ADAPTER = "accounts.oidc.SocialAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": one["id"],
                "name": one["name"],
                "client_id": one["client_id"],
                "secret": one["client_secret"],
                "settings": {"server_url": one["issuer"].rstrip("/")},
            }
            for one in OIDC_ISSUERS
        ],
    }
}
# A link to set a new password.
PASSWORD_RESET_TIMEOUT = 3600
# How long an invitation is open.
INVITATION_DAYS = number("INVITATION_DAYS", 7.0)
# How long raw samples are kept; hourly and daily rollups stay.
SAMPLE_DAYS = number("SAMPLE_DAYS", 400.0)
# Sessions live in the database: Redis may be emptied at any moment and nobody should be logged out by it.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 12 * 3600
# What was said to a session ends with it: a cookie of messages would be shown to whoever is next at that browser.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_SECURE = not DESK_MODE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = not DESK_MODE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_FAILURE_VIEW = "portal.views.csrf_failure"
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DESK_MODE)
BEHIND_PROXY = env.bool("BEHIND_PROXY", default=False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 0 if DESK_MODE else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DESK_MODE
SECURE_HSTS_PRELOAD = not DESK_MODE
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        # The log-in form of an organization is answered by a redirect to it, which browsers hold against this.
        "form-action": ["'self'", *origins_of(OIDC_ISSUERS)],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "manifest-src": ["'self'"],
    }
}

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = Path(env.str("STATIC_ROOT", default=str(BASE_DIR / "staticfiles")))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = DESK_MODE
# A desk may be updated while it runs; a changed file must not be cut to its old length.
WHITENOISE_AUTOREFRESH = DESK_MODE
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # On a desk files are served from where they lie; in production hashed names may be cached for ever.
        # Their manifest is made by `collectstatic`, which therefore runs with the storage that makes it.
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DESK_MODE or not ((STATIC_ROOT / "staticfiles.json").exists() or "collectstatic" in sys.argv)
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "portal.problems.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Steady State",
    "DESCRIPTION": "Everything that a page of the portal can do. Errors are RFC 9457 problem documents.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "portal.webhooks.described.add_webhooks",
        "portal.described.say_any_of",
    ],
    "ENUM_NAME_OVERRIDES": {
        "BaselineStatus": "capacity.baselines.models.BaselineStatus",
        "BaselineSource": "capacity.baselines.models.BaselineSource",
        "BaselineVerdict": "capacity.baselines.models.BaselineVerdict",
        "PoolLimitKind": "capacity.baselines.models.LimitKind",
        "DrillStepKind": "drills.scenarios.serializers.STEP_KINDS",
        "DrillStepRole": "drills.scenarios.serializers.ROLES",
        "DrillTargets": "drills.scenarios.serializers.TARGETS",
        "InjectionKind": "drills.scenarios.serializers.INJECTIONS",
        "RunwayState": "capacity.reports.api.LASTS",
        "GrowthReportState": "capacity.reports.models.ReportState",
        "DetectedEventState": "capacity.reports.models.DetectedState",
        "MetricKindEnum": "capacity.metrics.kinds.MetricKind",
        "AccountRole": "accounts.models.AccountRole",
        "TeamRole": "accounts.models.TeamRole",
        "CaseSeverity": "accounts.cases.states.Severity",
        "CaseStatus": "accounts.cases.states.CaseStatus",
        "CaseEntryKind": "accounts.cases.models.EntryKind",
        "CaseVia": "accounts.cases.models.Via",
        "WebhookEnvelope": "portal.webhooks.models.Envelope",
        "WebhookState": "portal.webhooks.models.EndpointState",
        "WebhookDeliveryState": "portal.webhooks.models.DeliveryState",
        "HandoverRole": "portal.runs.models.HandoverRole",
        "HandoverState": "portal.runs.models.HandoverState",
        "ApprovalSide": "portal.approvals.models.Side",
        "ApprovalStatus": "portal.approvals.models.ApprovalStatus",
        "CountKind": "capacity.models.CountKind",
        "ReviewStatus": "accounts.reviews.models.ReviewStatus",
        "ActionState": "accounts.reviews.models.ActionState",
        "CalendarKind": "accounts.calendar.models.CalendarKind",
        "PullSource": "capacity.pulls.models.PullSource",
        "PullState": "capacity.pulls.models.PULL_STATES",
        "LoadProfileStatus": "capacity.loads.models.ProfileStatus",
        "LoadEnding": "capacity.loads.models.RunEnding",
        "HostState": "capacity.hosts.models.HOST_STATES",
        "DrillStatus": "drills.plans.models.DrillStatus",
        "DrillKind": "drills.plans.api.KINDS",
        "DrillEnvironment": "drills.plans.api.ENVIRONMENTS",
        "FindingSeverity": "drills.after.models.FindingSeverity",
        "DrillFigureUnit": "drills.after.report_api.UNITS",
        "ChangeLockKind": "accounts.calendar.api.LOCK_KINDS",
        "MarkerKind": "capacity.markers.models.MarkerKind",
        "CalendarScope": "accounts.calendar.models.CalendarScope",
        "Grade": "accounts.reviews.grades.GRADES",
        "HandGrade": "accounts.reviews.serializers.HAND_GRADES",
        "RolesEnum": "accounts.models.ContactRole",
        "ReachKind": "accounts.reach.models.ReachKind",
        "ReachState": "accounts.reach.models.ReachState",
        "ReachGatewayState": "accounts.reach.models.GatewayState",
        "OtherPartyKind": "accounts.contacts.models.OtherKind",
        "CoverageRole": "accounts.contacts.serializers.RULE_ROLES",
        "ResponsibleKind": "accounts.contacts.serializers.RESPONSIBLE_KINDS",
    },
}

# Celery only wakes the engine; PostgreSQL owns the work (docs/decisions).
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 12 * 3600}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# Hosts that the one client for typed-in addresses may reach although they are private (host:port, …).
EGRESS_ALLOW: list[str] = env.list("EGRESS_ALLOW", default=[])
# Networks that an operator opened for status URLs of servers (CIDR, …).
EGRESS_ALLOW_NETWORKS: list[str] = env.list("EGRESS_ALLOW_NETWORKS", default=[])
# Certificates (PEM) of authorities that are trusted besides the public ones, in everything that the portal asks.
EGRESS_CA_FILE = env.str("EGRESS_CA_FILE", default="")
# The only hosts at which a provider's identity service is taken for one (host or host:port, …); none means any that the
# portal may reach. What is claimed of a tenant's load balancers rests on that service's word.
IDENTITY_HOSTS: list[str] = [
    host.strip().lower() for host in env.list("IDENTITY_HOSTS", default=[]) if host.strip()
]
# How many times the provider's documented rates its accounts may be asked (raised limits; a desk's simulator).
CLOUD_RATE_FACTOR = number("CLOUD_RATE_FACTOR", 20.0 if DESK_MODE else 1.0)
SIMULATOR_URL = env.str("SIMULATOR_URL", default="")
WATCHDOG_URL = env.str("WATCHDOG_URL", default="")
# The operator's way to text messages and calls (a webhook), and the secret that signs both directions (`whsec_…`).
REACH_GATEWAY_URL = env.str("REACH_GATEWAY_URL", default="")
REACH_GATEWAY_SECRET = env.str("REACH_GATEWAY_SECRET", default="")
# Where a worker answers Prometheus (host:port); none unless set.
METRICS_LISTEN = env.str("METRICS_LISTEN", default="")

# Where people reach the portal: links in mails begin with it.
PUBLIC_URL = env.str(
    "PUBLIC_URL", default=f"http://localhost:{env.str('PORT', default='8000')}" if DESK_MODE else ""
).rstrip("/")
# The mail server: smtp://user:password@host:587 with STARTTLS, smtps://… with TLS from the start. Empty on a
# desk: mails go into the desk's mailbox (/desk/mail) and nowhere else.
EMAIL_URL = env.str("EMAIL_URL", default="")
# Speak plainly with a mail server that offers no TLS (one on the same machine or in a closed network).
EMAIL_PLAIN = env.bool("EMAIL_PLAIN", default=False)
MAIL_FROM = env.str("MAIL_FROM", default="portal@localhost.localdomain" if DESK_MODE else "")
# Where people answer mails about support cases, and the secret with which the mail system hands them in. Both or neither.
SUPPORT_MAIL_ADDRESS = env.str("SUPPORT_MAIL_ADDRESS", default="")
SUPPORT_MAIL_SECRET = env.str("SUPPORT_MAIL_SECRET", default="")
# With it the mail system tells of returned mails (docs/operations.md); without it nobody is listened to.
MAIL_BOUNCE_SECRET = env.str("MAIL_BOUNCE_SECRET", default="")
MAIL_FROM_NAME = env.str("MAIL_FROM_NAME", default="Steady State")
# The longest time that one mail may take (s), and how long a worker may hold it; see portal/notify/sending.py.
MAIL_DEADLINE_S = number("MAIL_DEADLINE_S", 30.0)
MAIL_TEMPLATES_STRICT = False

# The engine (portal/runs). Times in seconds.
RUNS = {
    "LEASE_S": number("RUNS_LEASE_S", 15.0),
    "TURN_S": number("RUNS_TURN_S", 5.0),
    "BATCH": int(number("RUNS_BATCH", 50)),
    "SWEEP_S": number("RUNS_SWEEP_S", 2.0),
    "ASLEEP_AFTER_S": number("RUNS_ASLEEP_AFTER_S", 30.0),
}

# What no profile of load may go beyond, whoever approves it.
LOADS = {
    "MAX_USERS": number("LOADS_MAX_USERS", 500),
    "MAX_REQUESTS_PER_S": number("LOADS_MAX_REQUESTS_PER_S", 1000),
    "MAX_S": number("LOADS_MAX_S", 3600),
}

LOG_FORMAT = env.str("LOG_FORMAT", default="console" if DESK_MODE else "json")
from portal.logs import logging_config  # noqa: E402  (needs LOG_FORMAT only)

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
    MALFORMED.append(
        "LOG_LEVEL is none of DEBUG, INFO, WARNING, ERROR, CRITICAL. Set one of them, or leave it out."
    )
    LOG_LEVEL = "INFO"
LOGGING = logging_config(LOG_FORMAT, LOG_LEVEL)
os.environ.setdefault("DJANGO_STRUCTLOG_CELERY_ENABLED", "0")
