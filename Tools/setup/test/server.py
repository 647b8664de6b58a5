"""A mirror with faults, for Tools/setup/test.sh: server.py FOLDER PORT_FILE LOG.

The first part of a path chooses the server: /whole serves byte ranges, /plain does not know them, /cut breaks off in the middle
of every answer that does not begin there, /slow never ends. The log gets a line per request: the path and its range.
"""

import http.server
import os
import sys
import time

folder, port_file, log = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, name = self.path.lstrip("/").partition("/")
        asked = self.headers.get("Range", "")
        with open(log, "a") as lines:
            lines.write(f"{self.path} {asked}\n")
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            return self.send_error(404)
        with open(path, "rb") as file:
            data = file.read()
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and kind != "plain" else 0
        if begin and begin >= len(data):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if kind == "cut" and not begin and name.endswith(".gz"):
            return self.wfile.write(data[: len(data) // 2])
        if kind == "slow" and name.endswith(".gz"):
            self.wfile.write(data[:100])
            self.wfile.flush()
            time.sleep(20)
            return
        self.wfile.write(data[begin:])

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.handle_error = lambda *_: None  # clients that are killed
with open(port_file + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
server.serve_forever()
