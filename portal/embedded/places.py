"""Where things lie: the data directory, a place that PostgreSQL can reach, sockets, ports and keys."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pwd
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from portal.embedded.errors import CannotStart

REPOSITORY = Path(__file__).resolve().parent.parent.parent
NEEDED_FREE_BYTES = 200 * 1024 * 1024
# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS, the ending zero included; the shorter one counts.
LONGEST_SOCKET_PATH_BYTES = 103
SOCKET_FILE = ".s.PGSQL.5432"
# Where root's PostgreSQL keeps what it cannot reach in root's own directories; both outlive a restart.
REACHABLE_ROOTS = (Path("/var/lib/steady-state"), Path("/var/tmp/steady-state"))  # noqa: S108


@dataclass(frozen=True)
class Unprivileged:
    """The user as whom PostgreSQL runs when the portal was started by root."""

    uid: int
    gid: int


def default_data_dir() -> Path:
    """Return the data directory: STEADY_DATA, or `var` in the repository's root."""
    return Path(os.environ.get("STEADY_DATA") or REPOSITORY / "var").expanduser().resolve()


def may_reach(path: Path, user: Unprivileged) -> bool:
    """Return whether `user`, with no other groups, may pass every directory above `path` and read it.

    Looks at mode bits only: access lists that allow more are not seen, which costs a copy and nothing else.
    """
    path = path.resolve()
    for part in [*path.parents, path]:
        try:
            found = part.stat()
        except FileNotFoundError:
            continue
        if found.st_uid == user.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == user.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if stat.S_ISDIR(found.st_mode) and not found.st_mode & needed:
            return False
    return True


def nobody() -> Unprivileged:
    """Return the user `nobody`, or the number that every Unix keeps for it."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Unprivileged(65534, 65534)
    return Unprivileged(entry.pw_uid, entry.pw_gid)


def open_data_dir(path: Path) -> Path:
    """Make the data directory if needed and return it. Raises CannotStart if it is not ours or has no room."""
    # Root's PostgreSQL runs as another user and must pass through; what is private inside has its own mode.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        if not path.exists():
            path.mkdir(parents=True)
            path.chmod(mode)
        found = path.stat()
    except OSError as error:
        raise CannotStart(
            f"The data directory {path} cannot be made: {error.strerror}; set STEADY_DATA to another one."
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise CannotStart(
            f"{path} is not a directory; set STEADY_DATA to one that may hold the portal's data."
        )
    if os.geteuid() != 0 and (found.st_uid != os.geteuid() or not os.access(path, os.W_OK | os.X_OK)):
        raise CannotStart(
            f"The data directory {path} belongs to {_user_name(found.st_uid)}; start as that user, or set STEADY_DATA to a directory of your own."
        )
    free = shutil.disk_usage(path).free
    if free < NEEDED_FREE_BYTES:
        raise CannotStart(
            f"The disk that holds {path} has {free // 1024**2} MB left and the portal needs {NEEDED_FREE_BYTES // 1024**2} MB; free some space and start again."
        )
    return path


def _user_name(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with number {uid}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for this process. The lock ends with the process, however it ends.

    Raises CannotStart while another portal holds it.
    """
    with open(data_dir / "lock", "a+") as file:  # not inherited by children: PEP 446
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise CannotStart(
                f"A portal is already running on {data_dir} (process {holder}); stop it first, or set STEADY_DATA and PORT for a second one."
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@dataclass(frozen=True)
class Keys:
    """The secrets of one data directory, made once. `instance` is no secret: it marks our processes."""

    secret_key: str
    field_keys: str
    audit_key: str
    valkey_password: str
    control_token: str
    instance: str


def _new_key(name: str) -> str:
    if name == "field_keys":  # one Fernet key: 32 random bytes, URL-safe base64
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_hex(8) if name == "instance" else secrets.token_urlsafe(50)


def keys_of(data_dir: Path) -> Keys:
    """Return the secrets kept in the data directory; makes what is missing. Mode 0600."""
    path = data_dir / "secrets.json"
    known: dict[str, str] = {}
    if path.exists():
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise CannotStart(
                f"The secrets in {path} cannot be read ({error}); put the file back from a backup, since stored credentials need it."
            ) from error
    values = {name: known.get(name) or _new_key(name) for name in Keys.__annotations__}
    if values != known:
        write_private(path, json.dumps(values, indent=1))
    return Keys(**values)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on this port now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as asked:
        # As servers do it: a port in TIME_WAIT after a restart is free, one with a listener is not.
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            asked.bind((host, port))
            asked.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that nothing on this machine listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def kept_port(data_dir: Path, name: str) -> int:
    """Return the port that `name` had last time if it is still free, else another one, which is kept.

    Cloud connections in the database point to the simulator's address, so it should not move.
    """
    path = data_dir / "ports.json"
    try:
        ports: dict[str, int] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        ports = {}
    port = ports.get(name)
    if port is None or not is_free(port):
        port = free_port()
        ports[name] = port
        write_private(path, json.dumps(ports))
    return port


def short_temporary_dir() -> Path:
    """Return a directory for temporary files whose path leaves room for a socket's name."""
    chosen = Path(tempfile.gettempdir())
    longest = chosen / "steady-00000000" / SOCKET_FILE
    if len(os.fsencode(longest)) > LONGEST_SOCKET_PATH_BYTES or not str(chosen).isascii():
        return Path("/tmp")  # noqa: S108  (only the parent: the socket's own directory is private)
    return chosen


def socket_dir(data_dir: Path, user: Unprivileged | None) -> Path:
    """Return a private directory (0700) for the socket of this data directory's PostgreSQL.

    The one from last time is used again if it still is what we made, else a new one is made: its name is
    random, so that nobody else can have put it there.
    """
    owner = user.uid if user else os.geteuid()
    kept = data_dir / "socket-dir"
    if kept.exists():
        last = Path(kept.read_text().strip())
        with contextlib.suppress(OSError):
            found = last.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700:
                return last
    parent = short_temporary_dir()
    if user is not None and not may_reach(parent, user):
        parent = Path("/tmp")  # noqa: S108
    for _ in range(100):
        made = parent / f"steady-{secrets.token_hex(4)}"
        try:
            made.mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise CannotStart(
                f"No directory for sockets can be made in {parent}: {error.strerror}; set TMPDIR to one that can be written."
            ) from error
        if user is not None:
            os.chown(made, user.uid, user.gid)
        write_private(kept, f"{made}\n")
        return made
    raise CannotStart(f"No directory for sockets can be made in {parent}; set TMPDIR to another one.")


def reachable_root(user: Unprivileged) -> Path:
    """Return a directory, kept over restarts of the machine, through which `user` can pass (root only)."""
    for candidate in REACHABLE_ROOTS:
        try:
            candidate.mkdir(mode=0o711, exist_ok=True)
            found = candidate.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and may_reach(candidate, user):
            return candidate
    raise CannotStart(
        "PostgreSQL does not run as root and cannot reach a directory below root's home; set STEADY_DATA to a directory that others can reach, or start as a plain user."
    )
