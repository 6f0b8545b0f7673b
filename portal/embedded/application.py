"""The processes of the portal: simulator, web, workers and beat, as children of the supervisor."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from portal.embedded.child import READY_FILE, Child
from portal.embedded.errors import CannotStart
from portal.embedded.places import REPOSITORY, Keys, is_free
from portal.issuers import oidc_issuers

# Queue → pool children. Workers of their own even on a desk: neither a long analysis nor a load must hold up a tick.
WORKERS: Mapping[str, int] = {"ticks": 2, "work": 1, "loads": 1}
GRACEFUL_SHUTDOWN_S = 3
# On a desk root may run everything; Celery's warning at each start would hide warnings that matter.
_ROOT_IS_MEANT = "ignore:You're running the worker with superuser privileges"
# Files are served from where they lie; nothing is collected on a desk.
_NOTHING_IS_COLLECTED = "ignore:No directory at"


def is_news(line: str) -> bool:
    """Return whether a line of the portal's own processes belongs on the terminal; the log file has all."""
    return "[info " not in line and "[debug " not in line and "Warm shutdown" not in line


def answers(port: int, path: str, *, host: str = "localhost") -> Callable[[], Awaitable[bool]]:
    """Return a question: does an HTTP server on this loopback port answer `path` with less than 500?"""

    async def ask() -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            async with asyncio.timeout(5):
                parts = (await reader.readline()).split()
            return len(parts) >= 2 and parts[1].isdigit() and int(parts[1]) < 500
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    return ask


def desk_env(
    keys: Keys, *, database_url: str, redis_url: str, port: int, simulator_port: int
) -> dict[str, str]:
    """Return the environment of the portal's own processes. What the person set wins over what was made."""
    simulator = f"127.0.0.1:{simulator_port}"
    made = {
        "DESK_MODE": "1",
        "SECRET_KEY": keys.secret_key,
        "FIELD_KEYS": keys.field_keys,
        "AUDIT_KEY": keys.audit_key,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "LOG_FORMAT": "console",
    }
    given = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PORT": str(port),
        "SIMULATOR_URL": f"http://{simulator}",
        "EGRESS_ALLOW": ",".join([simulator, *local_issuers(os.environ.get("OIDC_ISSUERS", ""))]),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PYTHONUNBUFFERED": "1",
        # Recipes run with any current directory; the portal's modules lie here.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])),
    }
    return {**made, **os.environ, **given}


def local_issuers(text: str) -> list[str]:
    """Return host:port of each issuer in `OIDC_ISSUERS` that runs on this very machine: a test issuer of the desk."""
    parts = [urlsplit(one["issuer"]) for one in oidc_issuers(text, True, [])]
    return [one.netloc for one in parts if one.hostname in {"localhost", "127.0.0.1"} and one.port]


def portal_children(
    data_dir: Path,
    env: Mapping[str, str],
    keys: Keys,
    *,
    port: int,
    simulator_port: int,
    scenario: str,
    simulator_args: tuple[str, ...] = (),
    workers: Mapping[str, int] = WORKERS,
    beat: bool = True,
) -> list[Child]:
    """Return the children of a whole portal, besides PostgreSQL and Valkey."""

    def child(name: str, *argv: str, more_env: Mapping[str, str] | None = None, **rest: object) -> Child:
        return Child(
            name=name,
            argv=(sys.executable, *argv),
            env={**env, "PROCESS_NAME": name, **(more_env or {})},
            cwd=REPOSITORY,
            place=data_dir,
            **{"shown": is_news, **rest},  # type: ignore[arg-type]
        )

    found = [
        child(
            "simulator",
            *("-m", "portal.simulator", "--host", "127.0.0.1", "--port", str(simulator_port)),
            *("--scenario", scenario, "--state", str(data_dir / "simulator.json")),
            *simulator_args,
            more_env={"SIMULATOR_CONTROL_TOKEN": keys.control_token},
            ready=answers(simulator_port, "/", host="127.0.0.1"),
        ),
        child(
            "prepare",
            *("-m", "portal.embedded.prepare", str(data_dir)),
            needs=("postgres", "valkey", "simulator"),
            once=True,
            shown=lambda line: "Error" in line,
        ),
        child(
            "web",
            *("-m", "uvicorn", "portal.asgi:application", "--host", "127.0.0.1", "--port", str(port)),
            *(
                "--timeout-graceful-shutdown",
                str(GRACEFUL_SHUTDOWN_S),
                "--no-access-log",
                "--log-level",
                "warning",
            ),
            # uvicorn believes X-Forwarded-For of this machine unless told otherwise; whoever logs in from here
            # could then look like somebody else at each try.
            *(
                ("--proxy-headers", "--forwarded-allow-ips", "127.0.0.1")
                if env.get("BEHIND_PROXY", "").lower() not in {"", "0", "false", "no", "off"}
                else ("--no-proxy-headers",)
            ),
            more_env={"PYTHONWARNINGS": _NOTHING_IS_COLLECTED},
            needs=("prepare", "postgres", "valkey"),
            check=lambda: _refuse_taken(port),
            prepare=lambda: _refuse_taken(port),
            ready=answers(port, "/healthz"),
            stop_grace_s=GRACEFUL_SHUTDOWN_S + 3.0,
        ),
    ]
    for queue, concurrency in workers.items():
        flag = data_dir / f"{queue}.ready"
        found.append(
            child(
                queue,
                *("-m", "celery", "-q", "-A", "portal.celery", "worker", "-Q", queue, "-n", f"{queue}@%h"),
                *("-c", str(concurrency), "-l", "WARNING", "-I", "portal.embedded.announce"),
                *("--without-gossip", "--without-mingle"),
                more_env={READY_FILE: str(flag), "PYTHONWARNINGS": _ROOT_IS_MEANT},
                needs=("prepare", "postgres", "valkey"),
                prepare=_remover(flag),
                ready=_exists(flag),
                # A warm stop waits for the step that is on the wire.
                stop_grace_s=20.0,
            )
        )
    if beat:
        schedule = data_dir / "beat-schedule"
        found.append(
            child(
                "beat",
                *("-m", "celery", "-q", "-A", "portal.celery", "beat", "-l", "WARNING", "--pidfile="),
                *("-s", str(schedule)),
                needs=("prepare", "postgres", "valkey"),
                settled_after_s=2.0,
            )
        )
    return found


def _refuse_taken(port: int) -> None:
    if not is_free(port) or not _free_on_ipv6(port):
        raise CannotStart(
            f"Port {port} is taken by another program; end that one, or choose another port: make run PORT={port + 1}"
        )


def _free_on_ipv6(port: int) -> bool:
    # `localhost` is ::1 first for many browsers: another program there would get our visitors.
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as asked:
            asked.settimeout(0.5)
            return asked.connect_ex(("::1", port)) != 0
    except OSError:  # a system without IPv6
        return True


def _remover(path: Path) -> Callable[[], None]:
    return lambda: path.unlink(missing_ok=True)


def _exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return os.access(path, os.F_OK)  # one system call, nothing to wait for

    return ask
