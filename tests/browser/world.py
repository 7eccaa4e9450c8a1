"""The programs that a browser is pointed at: `casebridge sandbox`, and beside it a service with a configuration of its own, which asks
for an admin token. Both use free ports and a scratch folder. Cron is off, so that nothing happens but what a test asks for.

Needs nothing but Python's own library.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ADMIN_TOKEN = "the-admin-token-of-the-browser-tests"

CRMS = ("jira", "jira-service-management", "zendesk", "servicenow")


class Answer:
    def __init__(self, status, body):
        self.status = status
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)


def request(method, url, body=None, token=None):
    """Sends a request and returns the answer, whatever its status."""
    headers = {"accept": "application/json"}
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        headers["content-type"] = "application/json"
    if token:
        headers["authorization"] = f"Bearer {token}"
    asked = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.read().decode())


def until(what, condition, seconds=60):
    """Waits until the condition holds, and returns its value. Fails with `what` after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s: {what}")


def free_ports(number):
    """Returns the first of so many free ports in a row."""
    for _ in range(100):
        with socket.socket() as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
        if port + number > 65535:
            continue
        taken = []
        try:
            for each in range(port, port + number):
                taken.append(socket.create_server(("127.0.0.1", each)))
            return port
        except OSError:
            continue
        finally:
            for each in taken:
                each.close()
    raise AssertionError(f"there are no {number} free ports in a row")


class Program:
    """A process with its log."""

    def __init__(self, folder, name, command, environment=None):
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env={**os.environ, **(environment or {})}
            )

    def waits_for(self, url):
        def answers():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.process.args} ended:\n{self.log.read_text()}")
            try:
                return request("GET", url).status == 200
            except OSError:
                return False

        until(f"{url} does not answer:\n{self.log.read_text()}", answers)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sandbox:
    """One sandbox: its pages and what makes it misbehave (docs/sandbox.md)."""

    def __init__(self, address):
        self.address = address

    def ask(self, method, path, body=None):
        answer = request(method, self.address + path, body)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body}"
        return answer

    def fault(self, effect, method=None, path=None, times=None):
        wanted = {"method": method, "path": path, "times": times, "effect": effect}
        self.ask("POST", "/sandbox/faults", {key: value for key, value in wanted.items() if value is not None})

    def page(self, path="/"):
        return self.ask("GET", path).body

    def form(self, path, **fields):
        """Sends a form as a page does; returns the path that the browser is sent to."""
        data = urllib.parse.urlencode(fields).encode()
        asked = urllib.request.Request(self.address + path, data=data, method="POST")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return urllib.parse.unquote(urllib.parse.urlparse(answer.url).path)


class Google(Sandbox):
    def create(self, title, description="It broke.", priority="P2"):
        """Returns the name of a new case."""
        at = self.form("/cases", parent="projects/sample-shop", priority=priority, display_name=title, description=description)
        number = at.rsplit("/", 1)[1]
        return f"projects/sample-shop/cases/{number}"

    def case_page(self, name):
        return "/cases/" + name.rsplit("/", 1)[-1]

    def comment(self, name, text):
        self.form(self.case_page(name) + "/comments", role="google", body=text)


class Crm(Sandbox):
    """The CRM's sandbox. `case_page` is the path of a case's page, by the ID that the pair has."""

    PAGES = {
        "jira": "/browse/{}",
        "jira-service-management": "/browse/{}",
        "zendesk": "/agent/tickets/{}",
        "servicenow": "/records/{}",
    }

    def __init__(self, address, kind):
        super().__init__(address)
        self.kind = kind

    def case_page(self, case):
        return self.PAGES[self.kind].format(case)

    def create(self, title, description="It broke.", flagged=True):
        """Returns the name of a new case in the address of its page: a key in Jira, an ID elsewhere."""
        flag = {"jira": "flag", "jira-service-management": "flag"}.get(self.kind, "flagged")
        marked = {flag: "true" if flag == "flag" else "on"} if flagged else {}
        match self.kind:
            case "jira" | "jira-service-management":
                at = self.form("/issues", priority="Medium", author="Jane Roe", summary=title, description=description, **marked)
            case "zendesk":
                at = self.form("/agent/tickets", subject=title, description=description, **marked)
            case "servicenow":
                at = self.form("/records", short_description=title, description=description, **marked)
        return at.rsplit("/", 1)[1]

    def comment(self, case, text):
        page = self.case_page(case)
        match self.kind:
            case "jira" | "jira-service-management":
                self.form(page + "/comments", body=text, author="Jane Roe")
            case "zendesk":
                self.form(page + "/comments", body=text, visibility="public")
            case "servicenow":
                self.form(page + "/journal", text=text, journal="comments")


class World:
    """A service between both sandboxes.

    `settings` are TOML tables that are added to the configuration that `casebridge sandbox` writes, or take the place of its keys:
    `{"outages.tolerance": {"P2": '{ fresh = "1s", default = "1s", stale = "1s" }'}}`; values are written as they are. `PORT` in them is
    the service's port.
    """

    def __init__(self, binary, crm="jira", settings=None, token=ADMIN_TOKEN, arguments=()):
        self.folder = tempfile.TemporaryDirectory(prefix="casebridge-browser-")
        folder = pathlib.Path(self.folder.name)
        self.kind = crm
        self.token = token
        self.programs = []
        try:
            # The sandbox takes three ports in a row; its own service is idle, since its cron is off.
            port = free_ports(4)
            self.binary = str(pathlib.Path(binary).resolve())
            command = [self.binary, "sandbox", "--crm", crm, "--port", str(port), "--data", "sandbox", "--no-cron", *arguments]
            sandbox = Program(folder, "sandbox", command)
            self.programs.append(sandbox)
            sandbox.waits_for(f"http://127.0.0.1:{port}/healthz")
            self.google = Google(f"http://127.0.0.1:{port + 1}")
            self.crm = Crm(f"http://127.0.0.1:{port + 2}", crm)
            [written] = (folder / "sandbox").rglob("casebridge.toml")
            self.address = f"http://127.0.0.1:{port + 3}"
            server = {"listen": f'"127.0.0.1:{port + 3}"'}
            if token:
                server["admin_token"] = '"env:CASEBRIDGE_ADMIN_TOKEN"'
            own = {"server": server, "store": {"url": f'"sqlite:{folder}/own.db"'}}
            for section, keys in (settings or {}).items():
                own.setdefault(section, {}).update(keys)
            self.configuration = folder / "own.toml"
            self.configuration.write_text(changed(written.read_text(), own).replace("PORT", str(port + 3)))
            self.environment = {
                "CASEBRIDGE_ADMIN_TOKEN": token or "",
                "CRM_SECRET": "the-secret-of-the-crm",
                "CASEBRIDGE_WEBHOOK_SECRET": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            }
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self, minutes=0):
        """Starts the service, for the first time or again, on a machine whose clock is ahead by so many minutes."""
        command = [self.binary, "--config", str(self.configuration), "serve"]
        ahead = {}
        if minutes:
            [library] = pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
            # The library itself and not the command: the process that is ended is then the service. Durations stay as they are.
            ahead = {"LD_PRELOAD": str(library), "FAKETIME": f"{minutes:+}m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.service = Program(pathlib.Path(self.folder.name), "service", command, {**self.environment, **ahead})
        self.programs.append(self.service)
        self.service.waits_for(f"{self.address}/healthz")

    def later(self, minutes):
        """Goes on at so many minutes after the real time, as if nothing had run in between: the clocks of all are set."""
        self.programs.remove(self.service)
        self.service.stop()
        for sandbox in (self.google, self.crm):
            sandbox.ask("PUT", "/sandbox/clock", {"ahead_seconds": 60 * minutes})
        self.start(minutes)

    def stop(self):
        for program in reversed(self.programs):
            program.stop()
        self.folder.cleanup()

    def command(self, *words):
        """Runs a command of the program with the service's configuration; returns what it prints."""
        done = subprocess.run(
            [self.binary, "--config", str(self.configuration), *words],
            cwd=self.folder.name,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout + done.stderr

    def ask(self, method, path, body=None):
        return request(method, self.address + path, body, self.token)

    def poll(self, *sides):
        """Polls both sides, or those; the answers may be failures."""
        return [self.ask("POST", f"/tasks/poll-{side}") for side in sides or ("google", "company")]

    def pairs(self):
        return self.ask("GET", "/api/v1/mappings").json["mappings"]

    def pair(self, case):
        """Returns the pair of a case, by any name of either case."""
        answer = self.ask("GET", "/api/v1/mappings/" + urllib.parse.quote(case, safe=""))
        assert answer.status == 200, f"{case}: {answer.status} {answer.body}"
        [pair] = answer.json["mappings"]
        return pair

    def act(self, case, action, **body):
        return self.ask("POST", f"/api/v1/mappings/{urllib.parse.quote(case, safe='')}/{action}", body)

    def is_idle(self):
        pairs = self.pairs()
        return all(
            pair["googleCaseName"]
            and pair["companyCaseID"]
            and not pair["leased_until"]
            and not any(pair[side]["waiting_since"] for side in ("google", "company"))
            for pair in pairs
        )

    def settle(self):
        """Polls both sides and waits until nothing is on its way."""
        self.poll()
        until(f"something waits: {self.pairs()}", self.is_idle)

    def linked(self, title="The shop is slow", priority="P2"):
        """Makes a Google case with its company case, after all others have theirs; returns the pair."""
        self.settle()
        name = self.google.create(title, priority=priority)
        self.poll("google")
        until(f"{name} got no company case", lambda: self.linked_pair(name))
        self.settle()
        return self.pair(name)

    def linked_pair(self, name):
        pair = self.pair(name)
        waits = any(pair[side]["waiting_since"] for side in ("google", "company"))
        return pair if pair["companyCaseID"] and not waits else None

    def fails(self, case):
        """Waits until a sync of that pair has failed."""
        return until(f"no sync of {case} has failed: {self.pair(case)}", lambda: (p := self.pair(case)) and p["last_error"] and p)


def changed(text, tables):
    """Returns the configuration with those keys in place of its own."""
    sections, name = {}, ""
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(.+)\]", line.strip()):
            name = match[1]
        elif " = " in line:
            key, value = line.split(" = ", 1)
            sections.setdefault(name, {})[key] = value
    for section, keys in tables.items():
        sections.setdefault(section, {}).update(keys)
    lines = []
    for section, keys in sections.items():
        lines.append(f"[{section}]" if section else "")
        lines += [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n"
