"""App Engine's own task queue behind the REST call that creates a task in Cloud Tasks v2.

Queues, names, tombstones, times, backoff, limits and the X-AppEngine-* headers are Google's code: `taskqueue_stub` of the
Cloud SDK, with the project's real queue.yaml. This file is only the way in (REST) and the way out (HTTP to the service). What
the REST call accepts follows the discovery document of Cloud Tasks v2; unknown fields are refused, as Google's front does.

    cloud_tasks_front.py --sdk ROOT --queue-yaml FILE --target http://127.0.0.1:PORT --parent projects/P/locations/L
                         [--clock SECONDS | --workers NUMBER]

With --clock time stands still until POST /stub/run moves it, and nothing runs but in that call; without it time is the
machine's. With several --target, each delivery goes to the next one, as to the instances of a service. With --workers so many
tasks are under way at the same time, of each queue no more than its max_concurrent_requests; the stub alone delivers one after
the other. Prints its port, and ends when its standard input does.

    cloud_tasks_front.py --sdk ROOT --listen PATH

Imports Google's code once, listens on a Unix socket there, and prints a line when it does. Each connection gets a process of its own: it
sends the other arguments as one line of JSON, is answered the port, and that process ends when the connection does.

Beside the REST call:

    POST /stub/run    {"now": SECONDS}      runs what is due then; answers {"next_due": SECONDS or null}
    POST /stub/faults ["lost", "503", …]    what happens to the next calls: an answer lost after the work was done, or a refusal
    GET  /stub/calls                        every accepted body, in order
    GET  /stub/counts                       {"waiting": tasks that are not done, "existed": names refused because they were used,
                                            "delivered": deliveries to each target, "failed": those without success,
                                            "most_at_once": those under way at the same time}
"""

import argparse
import base64
import binascii
import datetime
import http.client
import http.server
import itertools
import json
import logging
import os
import re
import select
import signal
import socket
import sys
import threading
import time
import urllib.parse


def arguments(given=None):
    parser = argparse.ArgumentParser()
    for name in ("queue-yaml", "parent"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--target", required=True, action="append")
    parser.add_argument("--clock", type=float)
    parser.add_argument("--workers", type=int, default=1)
    return parser.parse_args(given)


def before_all():
    """The arguments that count before Google's code is imported, and the others."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--sdk", required=True)
    parser.add_argument("--listen")
    return parser.parse_known_args()


def add_sdk_to_path(root):
    tree = os.path.join(root, "platform", "google_appengine")
    if not os.path.isdir(tree):
        sys.exit(f"{tree} is missing: install the Cloud SDK's App Engine component (app-engine-python)")
    libraries = os.path.join(tree, "lib")
    sys.path[:0] = [tree] + [
        # antlr3 is for Python 2, and hides the one that works.
        os.path.join(libraries, name) for name in sorted(os.listdir(libraries)) if name != "antlr3"
    ]


FIRST, REST = before_all()
add_sdk_to_path(FIRST.sdk)

from google.appengine.api import request_info  # noqa: E402
from google.appengine.api.taskqueue import taskqueue_service_bytes_pb2 as pb  # noqa: E402
from google.appengine.api.taskqueue import taskqueue_stub  # noqa: E402
from google.appengine.runtime import apiproxy_errors  # noqa: E402

ERRORS = pb.TaskQueueServiceError


class Clock:
    """The machine's time, or one that stands still."""

    def __init__(self, start):
        self.fixed = start

    def __call__(self):
        return time.time() if self.fixed is None else self.fixed


class Dispatcher(request_info._LocalFakeDispatcher):
    """Sends what Google's executor has put together to the service, to its instances in turn."""

    def __init__(self, targets):
        super().__init__()
        self.targets = itertools.cycle(urllib.parse.urlsplit(target) for target in targets)
        self.lock = threading.Lock()
        self.delivered = {target: 0 for target in targets}
        self.under_way = self.most_at_once = self.failed = 0

    def begin(self):
        with self.lock:
            target = next(self.targets)
            self.delivered[target.geturl()] += 1
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
            return target

    def add_request(self, method, relative_url, headers, body, source_ip, **_):
        target = self.begin()
        succeeded = False
        connection = http.client.HTTPConnection(target.hostname, target.port, timeout=900)
        # The service's own address takes the place of the stub's invented one.
        headers = [(name, value) for name, value in headers if name.lower() != "host"]
        try:
            connection.putrequest(method, relative_url)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            answer.read()
            succeeded = 200 <= answer.status < 300
            return request_info.ResponseTuple(f"{answer.status} {answer.reason}", answer.getheaders(), b"")
        except (OSError, http.client.HTTPException) as error:
            raise request_info.Error(str(error)) from error
        finally:
            connection.close()
            with self.lock:
                self.under_way -= 1
                self.failed += not succeeded


class Shared:
    """A group of queues as each of several schedulers sees it: without the tasks that are in the hands of another.

    A scheduler asks for the next task when it has done with the one before; whatever else it does, Google's code does.
    """

    def __init__(self, group, limits, clock):
        self.group, self.limits, self.clock = group, limits, clock
        self.lock = threading.Lock()
        # By thread: the queue and the task that it has.
        self.held = {}
        self.done = lambda: None

    def GetNextPushTask(self):
        with self.lock:
            had = self.held.pop(threading.get_ident(), None)
            names = [queue.queue_name for queue, _ in self.held.values()]
            held = {id(task) for _, task in self.held.values()}
            free = [
                (queue, task)
                for queue in list(self.group._queues.values())
                if names.count(queue.queue_name) < self.limits.get(queue.queue_name, sys.maxsize)
                for task in queue._GetTasks()
                if id(task) not in held
            ]
            queue, task = min(free, key=lambda entry: entry[1].eta_usec, default=(None, None))
            if task is not None and task.eta_usec <= self.clock() * 1_000_000:
                self.held[threading.get_ident()] = (queue, task)
        if had:
            # Its queue may have another that had to wait for it.
            self.done()
        return queue, task


class Schedulers:
    """Several of Google's schedulers, in the place of its one."""

    def __init__(self, number, group, limits, clock, executor):
        shared = Shared(group, limits, clock)
        self.all = [
            taskqueue_stub._BackgroundTaskScheduler(shared, executor, retry_seconds=30, _get_time=clock)
            for _ in range(number)
        ]
        shared.done = lambda: self.UpdateNextEventTime(clock())

    def UpdateNextEventTime(self, at):
        for scheduler in self.all:
            scheduler.UpdateNextEventTime(at)

    def MainLoop(self):
        for scheduler in self.all:
            threading.Thread(target=scheduler.MainLoop, daemon=True).start()


class RequestInfo(request_info._LocalRequestInfo):
    def __init__(self, dispatcher):
        super().__init__()
        self.dispatcher = dispatcher

    def get_dispatcher(self):
        return self.dispatcher


class Refusal(Exception):
    """A REST error."""

    def __init__(self, code, status, message):
        super().__init__(message)
        self.code, self.status, self.message = code, status, message


def invalid(message):
    return Refusal(400, "INVALID_ARGUMENT", message)


# Discovery document of Cloud Tasks v2: CreateTaskRequest, Task, AppEngineHttpRequest, AppEngineRouting.
KNOWN = {
    "": {"task", "responseView"},
    "task": {"name", "scheduleTime", "dispatchDeadline", "appEngineHttpRequest", "httpRequest"},
    "task.appEngineHttpRequest": {"httpMethod", "relativeUri", "headers", "body", "appEngineRouting"},
    "task.appEngineHttpRequest.appEngineRouting": {"service", "version", "instance"},
}


def check_known(value, where=""):
    if not isinstance(value, dict):
        raise invalid(f"Invalid value at '{where}'")
    for name, member in value.items():
        if name not in KNOWN[where]:
            raise invalid(f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field.")
        inner = f"{where}.{name}".lstrip(".")
        if inner in KNOWN:
            check_known(member, inner)


def seconds(text, what):
    match = re.fullmatch(r"(\d+)(\.\d{1,9})?s", str(text))
    if not match:
        raise invalid(f"Invalid value at '{what}' (type.googleapis.com/google.protobuf.Duration), \"{text}\"")
    return float(match.group(0)[:-1])


def moment(text, what):
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", str(text)):
        raise invalid(f"Invalid value at '{what}' (type.googleapis.com/google.protobuf.Timestamp), \"{text}\"")
    whole, _, fraction = text[:-1].partition(".")
    since = datetime.datetime.fromisoformat(whole + "+00:00").timestamp()
    return int(since) * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


class Queues:
    """Google's stub, and the calls that it gets."""

    def __init__(self, options):
        self.clock = Clock(options.clock)
        self.parent = options.parent
        self.dispatcher = Dispatcher(options.target)
        self.stub = taskqueue_stub.TaskQueueServiceStub(
            queue_config_path=options.queue_yaml,
            auto_task_running=options.clock is None,
            request_data=RequestInfo(self.dispatcher),
            gettime=self.clock,
        )
        scheduler = self.stub._task_scheduler
        scheduler._get_time = self.clock
        if options.workers > 1:
            group = self.stub._GetGroup()
            group._ReloadQueuesFromYaml()
            limits = {
                entry.name: entry.max_concurrent_requests
                for entry in self.stub._last_queue_info.queue
                if entry.max_concurrent_requests
            }
            self.stub._task_scheduler = Schedulers(
                options.workers, group, limits, self.clock, scheduler.task_executor
            )
        self.stub.StartBackgroundExecution()
        # Creating a task is one step, also between two calls at the same moment.
        self.creating = threading.Lock()
        self.faults, self.calls, self.existed = [], [], 0

    def queue(self, name):
        prefix = f"{self.parent}/queues/"
        if not name.startswith(prefix):
            raise Refusal(403, "PERMISSION_DENIED", f'The principal lacks IAM permission for the resource "{name}"')
        short = name[len(prefix):]
        group = self.stub._GetGroup()
        group._ReloadQueuesFromYaml()
        if not group.HasQueue(short):
            raise Refusal(
                404, "NOT_FOUND",
                "Requested entity was not found. Queue does not exist. If you just created the queue, wait at least a "
                "minute for the queue to initialize.",
            )
        return short

    def create(self, parent, body):
        check_known(body)
        queue = self.queue(parent)
        task = body.get("task", {})
        request = task.get("appEngineHttpRequest")
        if not isinstance(request, dict):
            raise invalid("Task must have an appEngineHttpRequest: this front knows no other")
        path = request.get("relativeUri", "/")
        if not path.startswith("/") or len(path) > 2083 or " " in path:
            raise invalid("relativeUri must begin with /")
        add = pb.TaskQueueAddRequest()
        add.queue_name = queue.encode()
        add.url = path.encode()
        name = task.get("name")
        if name is not None:
            match = re.fullmatch(re.escape(parent) + r"/tasks/([A-Za-z0-9_-]{1,500})", name)
            if not match:
                raise invalid(f'Task name must be formatted: "{parent}/tasks/<TASK_ID>"')
            add.task_name = match.group(1).encode()
        else:
            add.task_name = b""
        add.eta_usec = int(self.clock() * 1_000_000)
        if "scheduleTime" in task:
            add.eta_usec = max(add.eta_usec, moment(task["scheduleTime"], "task.schedule_time"))
        if "dispatchDeadline" in task:
            deadline = seconds(task["dispatchDeadline"], "task.dispatch_deadline")
            if not 15 <= deadline <= 86_415:
                raise invalid("Task.dispatchDeadline must be between [15s, 24h15s].")
            add.dispatch_deadline_usec = int(deadline * 1_000_000)
        method = request.get("httpMethod", "POST")
        if method not in pb.TaskQueueAddRequest.RequestMethod.keys():
            raise invalid(f"Invalid value at 'task.app_engine_http_request.http_method': {method}")
        add.method = pb.TaskQueueAddRequest.RequestMethod.Value(method)
        for key, value in request.get("headers", {}).items():
            header = add.header.add()
            header.key, header.value = key.encode(), value.encode()
        if "body" in request:
            try:
                add.body = base64.b64decode(request["body"], validate=True)
            except (binascii.Error, ValueError) as error:
                raise invalid("Invalid value at 'task.app_engine_http_request.body' (TYPE_BYTES)") from error
        response = pb.TaskQueueAddResponse()
        try:
            with self.creating:
                self.stub._Dynamic_Add(add, response, None)
        except apiproxy_errors.ApplicationError as error:
            refusal = self.refusal(error.application_error)
            self.existed += refusal.code == 409
            raise refusal from error
        self.calls.append(body)
        chosen = (response.chosen_task_name or add.task_name).decode()
        return {**task, "name": f"{parent}/tasks/{chosen}"}

    @staticmethod
    def refusal(code):
        if code == ERRORS.TASK_ALREADY_EXISTS:
            return Refusal(409, "ALREADY_EXISTS", "Requested entity already exists")
        if code == ERRORS.TOMBSTONED_TASK:
            return Refusal(
                409, "ALREADY_EXISTS",
                "The task cannot be created because a task with this name existed too recently. For more information "
                "about task de-duplication see the documentation of CreateTaskRequest.",
            )
        return invalid(f"The task queue refused: {ERRORS.ErrorCode.Name(code)}")

    def counts(self):
        dispatcher = self.dispatcher
        queues = list(self.stub._GetGroup()._queues.values())
        return {
            "waiting": sum(queue.Count() for queue in queues),
            "existed": self.existed,
            "delivered": dispatcher.delivered,
            "failed": dispatcher.failed,
            "most_at_once": dispatcher.most_at_once,
        }

    def run(self, now):
        self.clock.fixed = max(self.clock.fixed, now)
        scheduler = self.stub._task_scheduler
        scheduler._ProcessQueues()
        return None if scheduler._next_wakeup == taskqueue_stub.INF else scheduler._next_wakeup


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One packet for an answer: with two, the second waits 40 ms for the acknowledgement of the first.
    wbufsize = -1
    disable_nagle_algorithm = True
    queues = None

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        # The service measures by this header how far the two clocks are apart.
        return super().date_time_string(self.queues.clock() if timestamp is None else timestamp)

    def answer(self, code, value):
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, refusal):
        error = {"code": refusal.code, "message": refusal.message, "status": refusal.status}
        self.answer(refusal.code, {"error": error})

    def do_GET(self):
        if self.path == "/stub/calls":
            return self.answer(200, self.queues.calls)
        if self.path == "/stub/counts":
            return self.answer(200, self.queues.counts())
        try:
            if self.queues.faults:
                self.fault(self.queues.faults.pop(0))
            name = self.path.removeprefix("/v2/")
            self.queues.queue(name)
            self.answer(200, {"name": name, "state": "RUNNING"})
        except Refusal as refusal:
            self.refuse(refusal)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.path == "/stub/run":
            return self.answer(200, {"next_due": self.queues.run(body["now"])})
        if self.path == "/stub/faults":
            self.queues.faults[:] = body
            return self.answer(200, {})
        match = re.fullmatch(r"/v2/(projects/[^/]+/locations/[^/]+/queues/[^/]+)/tasks", self.path)
        if not match:
            return self.refuse(Refusal(404, "NOT_FOUND", "Method not found."))
        fault = self.queues.faults.pop(0) if self.queues.faults else None
        try:
            if fault not in (None, "lost"):
                self.fault(fault)
            created = self.queues.create(match.group(1), body)
        except Refusal as refusal:
            return self.refuse(refusal)
        if fault == "lost":
            # The work is done; nobody hears of it.
            self.close_connection = True
            return None
        return self.answer(200, created)

    @staticmethod
    def fault(name):
        known = {
            "503": (503, "UNAVAILABLE", "The service is currently unavailable."),
            "429": (429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
            "403": (403, "PERMISSION_DENIED", "The principal lacks IAM permission \"cloudtasks.tasks.create\"."),
            "disabled": (
                403, "PERMISSION_DENIED",
                "Cloud Tasks API has not been used in project 1 before or it is disabled. Enable it, then retry.",
            ),
            "400": (400, "FAILED_PRECONDITION", "Location 'l' is not a valid location for this project."),
            "401": (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
        }
        raise Refusal(*known[name])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # Tests kill those who call.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(options, say, until):
    """Says the port and serves until `until` returns."""
    # The stub reports each failed delivery at length; the tests look at what arrives.
    logging.disable(logging.CRITICAL)
    Handler.queues = Queues(options)
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    say(f"{server.server_address[1]}\n")
    until()
    os._exit(0)


def serve_connections(path):
    """Forks for each connection: importing Google's code takes seconds, a fork none."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(128)
    print("listening", flush=True)
    while True:
        # Whoever started this process holds its standard input.
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            os._exit(0)
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        stream = connection.makefile("rw")
        options = arguments(json.loads(stream.readline()))

        def say(line):
            stream.write(line)
            stream.flush()

        serve(options, say, stream.read)


def main():
    if FIRST.listen:
        serve_connections(FIRST.listen)
    serve(arguments(REST), lambda line: print(line, end="", flush=True), sys.stdin.read)


if __name__ == "__main__":
    main()
