"""A receiver on this machine: a real HTTP server in a thread, which keeps what it got and answers as it is told."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """`got` are (headers, body) in the order of arrival; `answers` are used up one by one, then it answers 204."""

    def __init__(self):
        self.got, self.answers, self.release = [], [], threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, headers, said = outer.answers.pop(0) if outer.answers else (204, {}, b"")
                if status == "slow":
                    outer.release.wait(10)
                    status = 204
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.place = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.place}/in"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def ids(self):
        return [headers["webhook-id"] for headers, _ in self.got]

    def close(self):
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
