"""Run every check and say which failed: `python -m tools.lint [NAME …]` (`make lint`)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parent.parent
# Who installs uses a package index of their own, so no file names one. In parts: this file is looked at too.
_INDEXES = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com")]
_INDEX_HOST = re.compile("|".join(rf"\b{name}\.{end}\b" for name, end in _INDEXES))
_NEEDS_NOTHING = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "FIELD_KEYS", "AUDIT_KEY", "DESK_MODE")


# Tests are read by people: their fixtures would need more annotations than code.
TYPED = ("portal", "accounts", "capacity", "drills", "scaledown", "bench", "tools", "deploy")
# What docker-compose.yml gives a container; the values are worthless.
_PRODUCTION = {
    "SECRET_KEY": "only-for-the-check-of-settings-0123456789-0123456789-0123456789",
    "FIELD_KEYS": "b25seS1mb3ItdGhlLWNoZWNrLW9mLXNldHRpbmdzISE=",
    "AUDIT_KEY": "only-for-the-check-of-settings-0123456789-0123456789",
    "ALLOWED_HOSTS": "portal.example",
    "CSRF_TRUSTED_ORIGINS": "https://portal.example",
    "PUBLIC_URL": "https://portal.example",
    "EMAIL_URL": "smtp://portal:worthless@mail.example:587",
    "MAIL_FROM": "portal@portal.example",
    "IDENTITY_HOSTS": "identity.provider.example",
    "BEHIND_PROXY": "1",
    "DATABASE_URL": "postgres://portal@db.example/portal",
    "REDIS_URL": "redis://redis.example:6379/0",
}


def _python(*argv: str, more_env: Mapping[str, str] | None = None) -> Callable[[], str | None]:
    def check() -> str | None:
        # As on a bare machine: these commands must work with nothing set.
        env = {name: value for name, value in os.environ.items() if name not in _NEEDS_NOTHING}
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=ROOT,
            env={**env, "PYTHONWARNINGS": "ignore::RuntimeWarning", **(more_env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return None if done.returncode == 0 else done.stdout

    return check


def _manage(*argv: str) -> Callable[[], str | None]:
    return _python("manage.py", *argv)


def _production() -> str | None:
    """A release as it is made: the browser's files are collected, then the settings are checked."""
    with tempfile.TemporaryDirectory() as collected:
        env = {**_PRODUCTION, "STATIC_ROOT": collected}
        return (
            _python("manage.py", "collectstatic", "--noinput", more_env=env)()
            or _python("manage.py", "check", "--deploy", "--fail-level", "WARNING", more_env=env)()
        )


def _compose() -> str | None:
    schema = json.loads((ROOT / "tests/vendor/compose-spec.json").read_text())
    found = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    problems = [
        f"docker-compose.yml, {'.'.join(map(str, error.absolute_path)) or 'top'}: {error.message}"
        for error in jsonschema.Draft201909Validator(schema).iter_errors(found)
    ]
    return "\n".join(problems) or None


def _no_index_hosts() -> str | None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    problems = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        # Of vendored files only the licences and notes are ours to change, and they may cite a home page.
        if not path.is_file() or "vendor" in path.relative_to(ROOT).parts:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:  # a picture or a font
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if _INDEX_HOST.search(line):
                problems.append(f"{name}:{number} names a package index")
    return "\n".join(problems) or None


CHECKS: dict[str, Callable[[], str | None]] = {
    "ruff": _python("-m", "ruff", "check", "--quiet", "."),
    "format": _python("-m", "ruff", "format", "--check", "--quiet", "."),
    "types": _python("-m", "mypy", *TYPED),
    "imports": _python("-c", "from importlinter.cli import lint_imports_command as run; run()"),
    "django": _manage("check"),
    "production": _production,
    "migrations": _manage("makemigrations", "--check", "--dry-run"),
    "schema": _manage("spectacular", "--validate", "--fail-on-warn", "--file", os.devnull),
    "compose": _compose,
    "indexes": _no_index_hosts,
}


def main(names: list[str]) -> int:
    """Return 0 if each named check (all, without names) finds nothing."""
    unknown = sorted(set(names) - set(CHECKS))
    if unknown:
        print(f"There is no check {', '.join(unknown)}; there are: {', '.join(CHECKS)}", file=sys.stderr)
        return 2
    failed = []
    for name in names or CHECKS:
        began = time.monotonic()
        problem = CHECKS[name]()
        print(
            f"{name:<11} {'ok' if problem is None else 'FAILED':<7} {time.monotonic() - began:5.1f} s",
            flush=True,
        )
        if problem is not None:
            failed.append(name)
            print("\n".join(f"  {line}" for line in problem.rstrip().splitlines()), flush=True)
    print(f"lint: failed: {', '.join(failed)}" if failed else "lint: nothing found")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
