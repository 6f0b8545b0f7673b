"""The load generator: Locust in a process of its own. The only file that imports Locust or gevent.

    python -m capacity.loads.generator < order

One line of JSON comes in (`order`: the profile, the addresses that were checked, secret headers, who is our parent), then a line
at least every `SILENCE_S` seconds; `stop` ends the load. One line of JSON a second goes out. It ends by itself once its parent is gone,
its standard input is closed, nobody has said anything for `SILENCE_S`, or its time is over: a thread that gevent cannot keep
waiting sees to it. It connects to the addresses it was given and to no other; no redirect is followed, no proxy is asked.
"""

from __future__ import annotations

import _thread
import ctypes
import errno
import json
import os
import random
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SILENCE_S = 4.0
STOP_S = 1.0
LATE_S = 3.0
MOST_BODY = 1024 * 1024
TIMEOUT_S = 20.0
UNANSWERED_MS = 1000.0
SLOWER = 1.5
"""What at the end has waited so many times longer than the slowest of the `RECENT` answers, and for a second at least, has hung."""
RECENT = 20_000
_PR_SET_PDEATHSIG = 1


class Leash:
    """What holds this process: its parent, what the parent says, its time. Looked at by a thread of the system's own."""

    def __init__(self) -> None:
        # The functions as they are before gevent replaces them: this thread must wait for real.
        self._select, self._read, self._now = select.select, os.read, time.monotonic
        self._start = _thread.start_new_thread
        self.is_stopping = False
        self._heard_at = self._now()
        self._stop_at: float | None = None
        self._ends_at: float | None = None
        self._parent = os.getppid()

    def order(self) -> dict[str, Any]:
        """Return the first line; ends the process where there is none in time."""
        line = b""
        until = self._now() + SILENCE_S
        while not line.endswith(b"\n"):
            ready, _, _ = self._select([0], [], [], max(0.0, until - self._now()))
            part = self._read(0, 1) if ready else b""
            if not part:
                os._exit(3)
            line += part
        found: dict[str, Any] = json.loads(line)
        return found

    def hold(self, lasts_s: float) -> None:
        """Watch from now on, for at most `lasts_s`. Once gevent has replaced what it replaces: it takes one thread for granted."""
        self._heard_at = self._now()
        self._ends_at = self._heard_at + lasts_s
        self._start(self._watch, ())

    def check(self) -> None:
        """End this process if nobody has said anything for too long. Asked before each request as well."""
        if self._now() - self._heard_at > SILENCE_S:
            os._exit(5)

    def _watch(self) -> None:
        while True:
            ready, _, _ = self._select([0], [], [], 0.2)
            now = self._now()
            # Before what is said now: who was frozen and wakes up has lost its right meanwhile.
            self.check()
            if ready:
                said = self._read(0, 4096)
                if not said:
                    os._exit(3)
                self._heard_at = now
                if b"stop" in said and self._stop_at is None:
                    self._stop_at, self.is_stopping = now, True
            if os.getppid() != self._parent:
                os._exit(4)
            if self._stop_at is not None and now - self._stop_at > STOP_S:
                os._exit(6)
            if self._ends_at is not None and now > self._ends_at:
                os._exit(7)


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def say(kind: str, **values: Any) -> None:
    """Hand one line to whoever started us."""
    sys.stdout.write(json.dumps({"kind": kind, **values}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def rounded(ms: float) -> str:
    """Return a latency to three digits: within 0.5 %, also where answers take less than a millisecond."""
    return f"{float(f'{ms:.3g}'):g}"


class Second:
    """What came in within one second."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.received = self.missed = self.held = 0

    def add(self, name: str, ms: float, length: int, code: int, error: str) -> None:
        """Count one request. One without an answer has no latency."""
        part = self.parts.setdefault(name, {"requests": 0, "failures": 0, "latency": {}})
        part["requests"] += 1
        part["failures"] += bool(error)
        self.received += length
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1
        if code:
            self.codes[str(code)] = self.codes.get(str(code), 0) + 1
            key = rounded(ms)
            part["latency"][key] = part["latency"].get(key, 0) + 1


class _Now:
    """What stands at this moment: users without a turn, requests without an answer, the second so far."""

    def __init__(self) -> None:
        self.second = Second()
        self.idle = 0
        self.answered_ms: deque[float] = deque(maxlen=RECENT)
        self.answered_at = time.perf_counter()
        self.asked: dict[object, tuple[float, int]] = {}

    def ages_ms(self) -> list[tuple[float, int]]:
        """Return how long each request has had no answer by now, in ms, with its place in the profile."""
        at = time.perf_counter()
        return [((at - start) * 1000, place) for start, place in self.asked.values()]

    def answered(self, ms: float) -> None:
        """Note that a request was answered after so long."""
        self.answered_ms.append(ms)
        self.answered_at = time.perf_counter()

    def given_up_ms(self) -> float:
        """Return the age from which on a request at the end of the load was not answered: longer than any answer took lately.

        Where nobody at all is answered any more, one slow answer before does not hide it: then it is longer than is usual.
        """
        recent = sorted(self.answered_ms)
        usual = recent[int(0.95 * (len(recent) - 1))] if recent else 0.0
        silent = max(2 * UNANSWERED_MS, 2 * SLOWER * usual)
        if (time.perf_counter() - self.answered_at) * 1000 >= silent:
            return silent
        return max(UNANSWERED_MS, SLOWER * (recent[-1] if recent else 0.0))

    def waits(self) -> dict[str, int]:
        """Return how many requests have waited how long by now."""
        found: dict[str, int] = {}
        for ms, _place in self.ages_ms():
            found[rounded(ms)] = found.get(rounded(ms), 0) + 1
        return found


def main() -> None:
    """Make the load that the order asks for."""
    die_with_parent()
    leash = Leash()
    order = leash.order()
    if os.getppid() != order["parent"]:
        os._exit(4)
    generate(order, leash)
    sys.stdout.flush()
    os._exit(0)


def generate(order: dict[str, Any], leash: Leash) -> None:
    """Run Locust to the end of the shape, or until told to stop."""
    # Importing Locust lets gevent take over sockets, sleep and threads of this process.
    import gevent
    import gevent.lock
    import locust
    from gevent import select as gevent_select
    from gevent import socket as gevent_socket
    from locust import User, task
    from locust.env import Environment

    leash.hold(float(order["profile"]["shape"]["duration_s"]) + LATE_S)

    from capacity.loads.profile import LoadUnit, Pacer, from_plain, level_at, users_at

    profile = from_plain(order["profile"])
    pins: dict[str, list[str]] = order["pins"]
    _only_to(gevent_socket, pins)
    of_users = profile.shape.unit == LoadUnit.USERS
    headers = {"User-Agent": "steady-state-load/1", **dict(profile.headers), **order["secret_headers"]}
    weights = [one.weight for one in profile.requests]
    trusts = _trusts(order.get("ca_file", ""))
    reach = Reach(pins, trusts, gevent_select, leash.check)
    pacer, turn = Pacer(profile), gevent.lock.Semaphore(0)
    now = _Now()
    began = time.monotonic()

    def t() -> float:
        return time.monotonic() - began

    class Visitor(User):
        """One user: waits for a turn, asks one address, reads the answer to its end."""

        def on_start(self) -> None:
            self.lines: dict[tuple[str, str, int], Any] = {}

        def on_stop(self) -> None:
            for line in self.lines.values():
                line.close()

        @task
        def ask(self) -> None:
            if not self._my_turn():
                return
            leash.check()
            place = random.choices(range(len(weights)), weights)[0]
            now.asked[self] = (time.perf_counter(), place)
            try:
                self._ask(place)
            finally:
                now.asked.pop(self, None)
            if of_users and profile.think_s:
                gevent.sleep(profile.think_s)

        def _my_turn(self) -> bool:
            if not of_users:
                now.idle += 1
                if not turn.acquire(timeout=0.5):
                    now.idle -= 1
                    return False
                return True
            # At the very end a whole window's worth would be free again.
            while t() >= profile.shape.duration_s or not pacer.take(t(), 1):
                now.second.held += 1
                gevent.sleep(0.02)
            return True

        def _ask(self, place: int) -> None:
            one = profile.requests[place]
            start = time.perf_counter()
            code, length, error = 0, 0, ""
            try:
                with gevent.Timeout(TIMEOUT_S):
                    code, length = _fetch(self.lines, reach, one.method, one.url, headers)
            except gevent.Timeout:
                error = f"no answer within {TIMEOUT_S:g} s"
            except OSError as problem:
                error = problem.kind if isinstance(problem, Broken) else _named(problem)
            if code >= 400:
                error = f"HTTP {code}"
            if error and not code:
                for line in self.lines.values():
                    line.close()
                self.lines.clear()
            self.environment.events.request.fire(
                request_type=one.method,
                name=one.url,
                response_time=(time.perf_counter() - start) * 1000,
                response_length=length,
                exception=RuntimeError(error) if error else None,
                context={"place": str(place), "code": code, "error": error},
            )

    environment = Environment(user_classes=[Visitor], catch_exceptions=True)
    runner = environment.create_local_runner()

    def note(response_time: float, response_length: int, context: dict[str, Any], **_: Any) -> None:
        now.second.add(context["place"], response_time, response_length, context["code"], context["error"])
        if context["code"]:
            now.answered(response_time)

    environment.events.request.add_listener(note)

    def dispatch() -> None:
        """Give turns out as the rate asks for them; one that nobody is free for is missed, not made up for."""
        while True:
            wanted = pacer.take(t(), 1000)
            for _ in range(wanted):
                if now.idle > 0:
                    now.idle -= 1
                    turn.release()
                else:
                    now.second.missed += 1
            gevent.sleep(0.005)

    say("hello", locust=locust.__version__, pid=os.getpid())
    if not of_users:
        gevent.spawn(dispatch)
    count, cpu, last = -1, time.process_time(), t()
    is_done = False
    for second in range(int(profile.shape.duration_s) + 1):
        # A level holds for a quarter of a second: a ramp is no stairs of whole seconds.
        while t() < second + 1 and not leash.is_stopping:
            if t() >= profile.shape.duration_s:
                is_done = True
                break
            wanted = users_at(profile, t())
            if wanted != count:
                runner.start(wanted, spawn_rate=max(wanted, 1)) if wanted else runner.stop()
                count = wanted
            gevent.sleep(min(0.1, max(0.001, second + 1 - t())))
        ended = is_done or leash.is_stopping
        waiting, waits, under_way = len(now.asked), now.waits(), 0
        if ended:
            # Who has waited so long was not answered: else a site that hangs has failed nobody. What else is on its way when
            # the time is over was sent, and says nothing: a slow site answers it a moment later.
            under_way, given_up_ms = waiting, now.given_up_ms()
            for ms, place in now.ages_ms():
                if ms >= given_up_ms:
                    now.second.add(str(place), ms, 0, 0, "no answer when the load ended")
                    under_way -= 1
            now.asked.clear()
            runner.stop()
        found, now.second = now.second, Second()
        used, at = time.process_time(), t()
        length = at - last
        if length > 0.2 or found.parts or under_way:
            say(
                "second",
                t=last,
                length_s=length,
                users=count,
                asked=None if of_users else level_at(profile.shape, last),
                cpu=min(1.0, max(0.0, (used - cpu) / length)) if length > 0 else 0.0,
                requests=sum(one["requests"] for one in found.parts.values()),
                failures=sum(one["failures"] for one in found.parts.values()),
                waiting=waiting,
                waits=waits,
                under_way=under_way,
                received=found.received,
                missed=found.missed,
                held=found.held,
                parts=found.parts,
                errors=dict(sorted(found.errors.items(), key=lambda pair: -pair[1])[:20]),
                codes=found.codes,
            )
        cpu, last = used, at
        if ended:
            break
    total = environment.stats.total
    say("end", done=is_done, requests=total.num_requests, failures=total.num_failures)


class Broken(OSError):
    """The answer was none, or broke off. `kind` says how."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def _named(problem: OSError) -> str:
    """Return what went wrong by its name. A bare OSError is told by its number: which of our own limits it was hangs on that."""
    name, number = type(problem).__name__, problem.errno
    if type(problem) is not OSError or number is None or number not in errno.errorcode:
        return name
    return f"{name} {errno.errorcode[number]}: {os.strerror(number)}"


def _only_to(sockets: Any, pins: dict[str, list[str]]) -> None:
    """Keep this process from any address that the portal has not checked, whatever asks for it."""
    allowed = {(address, int(place.rpartition(":")[2])) for place, many in pins.items() for address in many}
    connect = sockets.socket.connect

    def connect_checked(self: Any, address: Any) -> Any:
        if tuple(address[:2]) not in allowed:
            raise OSError("an address that was not checked")
        return connect(self, address)

    sockets.socket.connect = connect_checked


@dataclass(frozen=True)
class Reach:
    """How hosts are reached: their checked addresses, whose certificates are believed, and `check` before anything is sent."""

    pins: dict[str, list[str]]
    trusts: Any
    selecting: Any
    check: Callable[[], None]


def _fetch(
    lines: dict[tuple[str, str, int], Any], reach: Reach, method: str, url: str, headers: dict[str, str]
) -> tuple[int, int]:
    """Ask once on this user's connection to the host; return status and how many bytes of the body came, at most `MOST_BODY`."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    key = (parts.scheme, parts.hostname or "", port)
    line = lines.get(key)
    if line is not None and line.sock is not None and reach.selecting.select([line.sock], [], [], 0)[0]:
        # Readable while nothing was asked: the other side ended it meanwhile.
        line.close()
    if line is None:
        line = lines[key] = _line(parts.scheme, key[1], port, reach)
    target = parts.path or "/"
    try:
        line.request(method, f"{target}?{parts.query}" if parts.query else target, headers=headers)
        answer = line.getresponse()
        body = answer.read(MOST_BODY + 1)
    except http.client.HTTPException as problem:
        raise Broken(type(problem).__name__) from problem
    if len(body) > MOST_BODY:
        line.close()
    elif not answer.isclosed():
        answer.read()
    return answer.status, min(len(body), MOST_BODY)


def _trusts(ca_file: str) -> Any:
    """Return what says which certificates are believed, as in everything else that the portal asks. Made once: it takes 15 ms."""
    import ssl

    import certifi

    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    return context


def _line(scheme: str, host: str, port: int, reach: Reach) -> Any:
    """Return a connection to one of the checked addresses; Host header and TLS name stay those of the address typed."""
    import http.client
    import socket

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            last: OSError = OSError("no address")
            for address in reach.pins[f"{host}:{port}"]:
                try:
                    self.sock = socket.create_connection((address, port), timeout=TIMEOUT_S)
                    self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                except OSError as problem:
                    last = problem
                else:
                    return
            raise last

        def send(self, data: Any) -> None:
            if self.sock is None:
                self.connect()
            # Whoever was frozen while the connection came about has no right to ask on it any more.
            reach.check()
            super().send(data)

    class Secure(Plain):
        default_port = http.client.HTTPS_PORT

        def connect(self) -> None:
            super().connect()
            self.sock = reach.trusts.wrap_socket(self.sock, server_hostname=host)

    return (Secure if scheme == "https" else Plain)(host, port, timeout=TIMEOUT_S)


if __name__ == "__main__":
    main()
