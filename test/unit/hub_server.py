"""A server that speaks as much of the Hugging Face hub's API as its library needs to fetch a model."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


@contextmanager
def hub_of(models):
    """Serve models, {name: {file: bytes}}; None in the place of the files is a model that is gated.

    Yields the address and the list of the paths that were asked for.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            path, _, _ = self.path.partition("?")
            parts = path.strip("/").split("/")
            if parts[0] == "api":
                self.answer_api("/".join(parts[2:4]), parts[4:])
            else:
                self.answer_file("/".join(parts[:2]), parts[4])

        do_HEAD = do_GET

        def answer_api(self, name, rest):
            if name not in models:
                self.send(401, b"", {"X-Error-Code": "RepoNotFound"})
            elif models[name] is None:
                self.send(403, b"", {"X-Error-Code": "GatedRepo"})
            elif rest[1] not in ("main", COMMIT):
                self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            elif rest[0] == "revision":
                files = [{"rfilename": file} for file in models[name]]
                self.send_json({"id": name, "sha": COMMIT, "siblings": files})
            else:
                self.send_json(
                    [
                        {"type": "file", "path": file, "size": len(data), "oid": oid(data)}
                        for file, data in models[name].items()
                    ]
                )

        def answer_file(self, name, file):
            data = models[name].get(file)
            if data is None:
                self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            else:
                self.send(200, data, {"ETag": f'"{oid(data)}"', "X-Repo-Commit": COMMIT})

        def send_json(self, value):
            self.send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def send(self, status, data, headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def oid(data):
    return hashlib.sha1(data).hexdigest()
