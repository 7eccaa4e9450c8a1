"""Stands in for Google in a network that has nothing else: the metadata server on port 80, if it is asked for, and every API on
port 8081. Says on its output which token each call to an API bore.

    google_front.py [metadata]
"""

import http.server
import json
import sys
import threading

TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
PROJECT = "/computeMetadata/v1/project/project-id"


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, kind="application/json"):
        body = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Metadata(Handler):
    tokens = 0

    def do_GET(self):
        # The real one refuses whoever does not say that he means it.
        if self.headers.get("Metadata-Flavor") != "Google":
            return self.answer(403, "{}")
        if self.path == PROJECT:
            return self.answer(200, "p", "application/text")
        if self.path != TOKEN:
            return self.answer(404, "{}")
        Metadata.tokens += 1
        # So short that each call needs a new one: it is renewed before it expires.
        token = {"access_token": f"ya29.metadata-{Metadata.tokens}", "expires_in": 15, "token_type": "Bearer"}
        return self.answer(200, json.dumps(token))


class Api(Handler):
    def do_GET(self):
        print("called with", self.headers.get("Authorization"), flush=True)
        self.answer(200, "{}")


def serve(port, handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever).start()


if __name__ == "__main__":
    serve(8081, Api)
    if "metadata" in sys.argv:
        serve(80, Metadata)
    print("ready", flush=True)
