"""Runs zenpy, unchanged, against a sandbox Zendesk.

Usage: zendesk_zenpy.py URL [oauth]

The sandbox must hold its samples (`seed_samples`) and nothing else, let in bot@example.com with the API token `secret`, or with
`oauth` the client `casebridge` with the secret `secret`, send at most three items a page, and have another host for attachments' content.

Prints one line for each test and a closing line; exits with 1 if any test failed.
"""

import hashlib
import io
import json
import os
import sys
import time
import traceback
import urllib.request

URL, OAUTH = sys.argv[1], sys.argv[2:] == ["oauth"]
# zenpy's own way to another server than Zendesk's.
os.environ["ZENPY_FORCE_SCHEME"] = "http"
os.environ["ZENPY_FORCE_NETLOC"] = URL.removeprefix("http://")

from zenpy import Zenpy  # noqa: E402
from zenpy.lib.api_objects import Comment, CustomField, Ticket, User  # noqa: E402
from zenpy.lib.exception import APIException, RecordNotFoundException  # noqa: E402

FLAG = 360000000101
GOOGLE_NAME = 360000000102
GOOGLE_CASE = "organizations/1/cases/51234456"

checks = 0


def equal(seen, expected, what=""):
    global checks
    checks += 1
    if seen != expected:
        raise AssertionError(f"{what}: expected {expected!r}, saw {seen!r}")


def true(condition, what):
    equal(bool(condition), True, what)


def refused(status, call, *parts):
    """The call must fail with the HTTP status, and say each of the parts."""
    try:
        answer = call()
    except APIException as error:
        equal(error.response.status_code, status, "status")
        for part in parts:
            true(part in str(error), f"{part!r} in {error}")
        return error
    raise AssertionError(f"expected status {status}, got {answer!r}")


def sandbox(method, path, body=None):
    """Steers the sandbox; no part of Zendesk's API."""
    request = urllib.request.Request(
        f"{URL}/sandbox/{path}",
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def access_token():
    """Requests a token as an OAuth client does."""
    asked = {
        "grant_type": "client_credentials",
        "client_id": "casebridge",
        "client_secret": "secret",
        "scope": "read write",
        "expires_in": 3600,
    }
    request = urllib.request.Request(
        f"{URL}/oauth/tokens", data=json.dumps(asked).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        issued = json.load(answer)
    equal((issued["token_type"], issued["scope"]), ("bearer", "read write"))
    return issued["access_token"]


class Tests:
    def __init__(self):
        self.client = self.connect(access_token() if OAUTH else "secret")

    def connect(self, token):
        if OAUTH:
            return Zenpy(subdomain="sandbox", oauth_token=token, disable_cache=True)
        return Zenpy(subdomain="sandbox", email="bot@example.com", token=token, disable_cache=True)

    def make(self, subject, **fields):
        fields.setdefault("comment", Comment(body=f"about {subject}"))
        return self.client.tickets.create(Ticket(subject=subject, **fields)).ticket

    def test_the_asking_user_is_known(self):
        me = self.client.users.me()
        equal((me.name, me.role, me.only_private_comments), ("Casebridge", "admin", False))
        equal(self.client.users(id=me.id).email, "casebridge@example.com")
        names = [user.name for user in self.client.users()]
        equal(names, ["Casebridge", "Jane Roe", "Max Doe"], "all pages of users")
        nobody = self.connect("wrong").users.me()
        equal((nobody.id, nobody.name), (None, "Anonymous user"), "not 401")
        refused(401, lambda: self.connect("wrong").tickets(id=1), "Couldn't authenticate you")

    def test_ticket_fields_tell_the_custom_ones(self):
        kinds = {field.title: field.type for field in self.client.ticket_fields()}
        equal(kinds["synchronizeWithGoogleCloudSupport"], "checkbox")
        equal(kinds["custom_field_google_name"], "text")
        equal(self.client.ticket_fields(id=FLAG).title, "synchronizeWithGoogleCloudSupport")

    def test_samples_are_there(self):
        ticket = self.client.tickets(id=1)
        equal((ticket.subject, ticket.status, ticket.priority), ("Nightly export fails with 403", "open", "high"))
        equal(ticket.requester.name, "Jane Roe")
        comments = list(self.client.tickets.comments(1))
        equal(len(comments), 3)
        equal(comments[0].body, ticket.description, "the first comment is the description")
        equal(comments[2].attachments[0].file_name, "export.log")
        refused(404, lambda: self.client.tickets(id=4711), "RecordNotFound")

    def test_a_ticket_is_created_and_changed(self):
        audit = self.client.tickets.create(
            Ticket(
                subject="From Google",
                priority="urgent",
                external_id=GOOGLE_CASE,
                comment=Comment(html_body="<b>bold</b> &amp; *plain*", public=False),
                custom_fields=[CustomField(id=FLAG, value=True), CustomField(id=GOOGLE_NAME, value=GOOGLE_CASE)],
                tags=["google_cloud"],
            )
        )
        ticket = audit.ticket
        equal((ticket.status, ticket.priority, ticket.tags, ticket.is_public), ("new", "urgent", ["google_cloud"], False))
        fields = {field["id"]: field["value"] for field in ticket.custom_fields}
        equal((fields[FLAG], fields[GOOGLE_NAME]), (True, GOOGLE_CASE))
        first = list(self.client.tickets.comments(ticket))[0]
        true("<b>bold</b> &amp; *plain*" in first.html_body, "HTML stays, Markdown in it does not count")
        equal((first.plain_body, first.public), ("bold & *plain*", False))

        by_external_id = list(self.client.tickets(external_id=GOOGLE_CASE))
        equal([found.id for found in by_external_id], [ticket.id], "without the search index")

        ticket.priority = "low"
        ticket.comment = Comment(body="**strong** {{ticket.id}} {{nobody}}", public=True)
        audit = self.client.tickets.update(ticket)
        equal(audit.ticket.priority, "low")
        kinds = sorted(event["type"] for event in audit.audit.events)
        equal(kinds, ["Change", "Comment"])
        last = list(self.client.tickets.comments(ticket))[-1]
        true(f"<strong>strong</strong> {ticket.id} " in last.html_body, "Markdown and placeholders are rendered")
        true(last.public, "public")
        equal(len(list(self.client.tickets.audits(ticket))), 2)
        self.client.tickets.add_tags(ticket.id, ["more"])
        equal(self.client.tickets(id=ticket.id).tags, ["google_cloud", "more"])
        refused(422, lambda: self.make("odd", priority="blocker"), "RecordInvalid", "Priority")
        refused(422, lambda: self.make("odd", comment=Comment(body=" ")), "Description: cannot be blank")

    def test_listings_have_pages(self):
        ticket = self.make("Many comments")
        for number in range(7):
            ticket.comment = Comment(body=f"comment {number}", public=number % 2 == 0)
            self.client.tickets.update(ticket)
        comments = list(self.client.tickets.comments(ticket))
        equal([comment.body for comment in comments[1:]], [f"comment {number}" for number in range(7)])
        equal([comment.public for comment in comments[1:4]], [True, False, True])
        equal(len({ticket.id for ticket in self.client.tickets()}), self.search_count(), "all pages of tickets")

    def search_count(self):
        return self.client.search(type="ticket").count

    def test_searches_and_exports(self):
        for number in range(5):
            self.make(f"searched {number}", custom_fields=[CustomField(id=FLAG, value=number != 2)])
        found = self.client.search(query=f"searched custom_field_{FLAG}:true", type="ticket")
        equal([ticket.subject for ticket in found], [f"searched {n}" for n in (0, 1, 3, 4)], "pages by number")
        found = self.client.search_export(query=f"searched custom_field_{FLAG}:true", type="ticket")
        equal([ticket.subject for ticket in found], [f"searched {n}" for n in (0, 1, 3, 4)], "pages by cursor")
        found = self.client.search(query="searched", type="ticket", minus=f"custom_field_{FLAG}:true")
        equal([ticket.subject for ticket in found], ["searched 2"])
        sandbox("PUT", "search-lag", {"seconds": 3600})
        equal(list(self.client.search_export(query="searched", type="ticket")), [], "the index lags")
        sandbox("PUT", "search-lag", {"seconds": 0})
        fresh = self.make("not exported yet").id
        exported = [ticket.id for ticket in self.client.tickets.incremental(start_time=1, paginate_by_time=False)]
        equal(fresh in exported, False, "the last minute")
        refused(
            422,
            lambda: self.client.tickets.incremental(start_time=int(time.time()), paginate_by_time=False),
            "StartTimeTooRecent",
        )

    def test_files_ride_on_comments(self):
        content = bytes(range(256)) * 500
        upload = self.client.attachments.upload(io.BytesIO(content), target_name="dump.bin", content_type="application/x-dump")
        ticket = self.make("With a file", comment=Comment(body="see", uploads=[upload.token], public=False))
        comment = list(self.client.tickets.comments(ticket))[0]
        attachment = comment.attachments[0]
        equal((attachment.file_name, attachment.size, attachment.content_type), ("dump.bin", len(content), "application/x-dump"))
        loaded = self.client.attachments.download(attachment.id)
        equal(hashlib.sha256(loaded.getvalue()).hexdigest(), hashlib.sha256(content).hexdigest(), "by way of the other host")
        ticket.comment = Comment(body="again", uploads=[upload.token])
        refused(422, lambda: self.client.tickets.update(ticket), "Upload")
        upload = self.client.attachments.upload(io.BytesIO(b"x"), target_name="x.txt")
        self.client.attachments.delete(upload.token)
        self.client.attachments.redact(ticket.id, comment.id, attachment.id)
        redacted = list(self.client.tickets.comments(ticket))[0].attachments[0]
        equal((redacted.deleted, redacted.size), (True, 0))

    def test_solved_is_not_closed(self):
        ticket = self.make("To be solved")
        ticket.status = "solved"
        refused(422, lambda: self.client.tickets.update(ticket), "Assignee: is required")
        ticket.assignee_id = self.client.users.me().id
        equal(self.client.tickets.update(ticket).ticket.status, "solved")
        ticket.status = "open"
        equal(self.client.tickets.update(ticket).ticket.status, "open")
        ticket.status = "closed"
        equal(self.client.tickets.update(ticket).ticket.status, "closed")
        ticket.status = "open"
        refused(422, lambda: self.client.tickets.update(ticket), "Status: closed prevents ticket update")
        ticket.comment = Comment(body="too late")
        refused(422, lambda: self.client.tickets.update(ticket), "RecordInvalid")

    def test_an_outdated_update_can_be_refused(self):
        ticket = self.make("Two people")
        outdated = Ticket(id=ticket.id, subject="mine", safe_update=True, updated_stamp="2020-01-01T00:00:00Z")
        refused(409, lambda: self.client.tickets.update(outdated), "UpdateConflict")
        fresh = self.client.tickets(id=ticket.id)
        safe = Ticket(id=ticket.id, subject="mine", safe_update=True, updated_stamp=fresh.updated_at)
        equal(self.client.tickets.update(safe).ticket.subject, "mine")

    def test_idempotency_keys(self):
        session = self.client.tickets.session

        def post(subject):
            body = {"ticket": {"subject": subject, "comment": {"body": "once"}}}
            return session.post(f"{URL}/api/v2/tickets.json", json=body, headers={"Idempotency-Key": "key-1"})

        first, second, other = post("Once"), post("Once"), post("Twice")
        equal((first.status_code, first.headers["x-idempotency-lookup"]), (201, "miss"))
        equal((second.status_code, second.headers["x-idempotency-lookup"]), (201, "hit"))
        equal(first.json()["ticket"]["id"], second.json()["ticket"]["id"])
        equal((other.status_code, other.json()["error"]), (400, "IdempotentRequestError"))

    def test_rate_limits_are_told_and_waited_for(self):
        answer = self.client.tickets.session.get(f"{URL}/api/v2/tickets/1.json")
        true(int(answer.headers["X-Rate-Limit-Remaining"]) < int(answer.headers["X-Rate-Limit"]), "headers")
        fault = {"path": "/tickets/1.json", "times": 1, "effect": {"kind": "rate_limited", "retry_after": "1"}}
        sandbox("POST", "faults", fault)
        equal(self.client.tickets(id=1).id, 1, "zenpy waits and asks again")
        sandbox("DELETE", "faults")
        ticket = self.make("Busy")
        for number in range(30):
            self.client.tickets.session.put(f"{URL}/api/v2/tickets/{ticket.id}.json", json={"ticket": {"subject": str(number)}})
        busy = self.client.tickets.session.put(f"{URL}/api/v2/tickets/{ticket.id}.json", json={"ticket": {"subject": "31"}})
        equal(busy.status_code, 429, "thirty updates in ten minutes")
        true(int(busy.headers["Retry-After"]) > 500, "Retry-After")

    def test_a_ticket_is_deleted(self):
        ticket = self.make("Gone")
        self.client.tickets.delete(ticket)
        try:
            self.client.tickets(id=ticket.id)
        except RecordNotFoundException:
            return
        raise AssertionError("a deleted ticket is still there")

    def test_requesters_are_made_up(self):
        ticket = self.make("From outside", requester=User(name="Ann Outside", email="ann@outside.example"))
        equal((ticket.requester.name, ticket.requester.role), ("Ann Outside", "end-user"))


def main():
    tests = Tests()
    failed = 0
    for name in [name for name in vars(Tests) if name.startswith("test_")]:
        try:
            getattr(tests, name)()
            print(f"ok      {name}")
        except Exception:
            failed += 1
            print(f"FAILED  {name}")
            traceback.print_exc()
    print(f"{failed} failed" if failed else f"{checks} checks, all passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
