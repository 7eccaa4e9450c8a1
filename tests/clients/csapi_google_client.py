"""Runs Google's own clients, unchanged, against a sandbox CSAPI.

Usage: csapi_google_client.py URL

The sandbox must hold its samples (`seed_samples`) for organisation 123 and nothing else. Two clients are used:

- google-api-python-client, with the discovery document that it ships;
- google-cloud-support, the generated client, over its REST transport, whose messages are real protocol buffers: it
  refuses every field that Google's definitions do not have.

Prints one line for each test and a closing line; exits with 1 if any test failed.
"""

import hashlib
import io
import json
import os
import sys
import tempfile
import traceback
import urllib.request

from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import support_v2
from google.cloud.support_v2.services import case_attachment_service, case_service, comment_service
from google.protobuf import field_mask_pb2
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaFileUpload, MediaIoBaseDownload, MediaIoBaseUpload

ORGANIZATION = "organizations/123"
SERVICE_ACCOUNT = "casebridge@sandbox.iam.gserviceaccount.com"

checks = 0


def equal(seen, expected, what=""):
    global checks
    checks += 1
    if seen != expected:
        raise AssertionError(f"{what}: expected {expected!r}, saw {seen!r}")


def true(condition, what):
    equal(bool(condition), True, what)


def fails(status, call, *parts):
    """The call must fail with the HTTP status, and say each of the parts."""
    try:
        answer = call()
    except HttpError as error:
        equal(error.status_code, status, "status")
        for part in parts:
            true(part in str(error.reason) + str(error.error_details), f"{part!r} in {error}")
        return error
    raise AssertionError(f"expected status {status}, got {answer!r}")


def raises(kind, call, *parts):
    """The call of the generated client must raise this exception, and say each of the parts."""
    try:
        answer = call()
    except kind as error:
        equal(type(error), kind, "exception")
        for part in parts:
            true(part in str(error), f"{part!r} in {error}")
        return
    raise AssertionError(f"expected {kind.__name__}, got {answer!r}")


class Tests:
    def __init__(self, url):
        self.url = url
        self.service = build(
            "cloudsupport",
            "v2",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": url},
            static_discovery=True,
        )

        def generated(package, name):
            transport = getattr(package.transports, f"{name}RestTransport")
            host = url.removeprefix("http://")
            return getattr(package, f"{name}Client")(
                transport=transport(host=host, url_scheme="http", credentials=AnonymousCredentials())
            )

        self.cases = generated(case_service, "CaseService")
        self.comments = generated(comment_service, "CommentService")
        self.attachments = generated(case_attachment_service, "CaseAttachmentService")
        found = self.service.caseClassifications().search(query='display_name:"*Compute Engine*"').execute()
        self.classification = found["caseClassifications"][0]

    def sandbox(self, method, path, body=None):
        """Steers the sandbox; no part of Google's API."""
        request = urllib.request.Request(
            f"{self.url}/sandbox/{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def fault(self, path, times, **effect):
        self.sandbox("POST", "faults", {"path": path, "times": times, "effect": effect})

    def create(self, title, parent=ORGANIZATION, **fields):
        body = {
            "displayName": title,
            "description": f"about {title}",
            "classification": {"id": self.classification["id"]},
            "priority": "P2",
            **fields,
        }
        return self.service.cases().create(parent=parent, body=body).execute()

    def upload(self, **arguments):
        """An upload request. With another endpoint the client replaces only the host of an upload's URL and keeps https, which a
        server on loopback does not speak."""
        request = self.service.media().upload(**arguments)
        true(request.uri.startswith(f"https://{self.url.removeprefix('http://')}/upload/v2/"), request.uri)
        request.uri = request.uri.replace("https://", "http://", 1)
        return request

    # google-api-python-client

    def test_classifications(self):
        equal(self.classification["displayName"], "Technical Issue > Compute > Compute Engine")
        everything = self.service.caseClassifications().search(pageSize=100)
        names = []
        while everything is not None:
            page = everything.execute()
            names += [entry["displayName"] for entry in page.get("caseClassifications", [])]
            everything = self.service.caseClassifications().search_next(everything, page)
        true(len(names) >= 3 and len(set(names)) == len(names), f"several different names: {names}")

    def test_samples(self):
        cases = self.search("")
        equal(len(cases), 3, "samples")
        case = next(case for case in cases if case["name"].startswith("projects/sample-shop/"))
        equal(case["state"], "IN_PROGRESS_GOOGLE_SUPPORT")
        equal("escalated" in case or "testCase" in case, False, "false is left out")
        comments = self.all(self.service.cases().comments(), "comments", parent=case["name"])
        agents = [comment["creator"] for comment in comments if comment["creator"].get("googleSupport")]
        people = [comment["creator"] for comment in comments if not comment["creator"].get("googleSupport")]
        equal((len(agents), len(people)), (1, 1), "an agent's and a customer's comment")
        true("*" in agents[0]["displayName"] and "*" in agents[0]["email"], "masked")
        equal("username" in agents[0], False, "agents have no user name")
        equal(people[0]["email"], "jane.roe@example.com")
        (attachment,) = self.all(self.service.cases().attachments(), "attachments", parent=case["name"])
        equal(attachment["filename"], "serial-console.txt")
        content = self.service.media().download_media(name=attachment["name"]).execute()
        equal(str(len(content)), attachment["sizeBytes"], "size as digits")

    def search(self, query, parent=ORGANIZATION):
        return self.all(self.service.cases(), "cases", method="search", parent=parent, query=query)

    def all(self, collection, field, method="list", **arguments):
        """Follows the pages with the client's own iterator."""
        items, pages = [], 0
        request = getattr(collection, method)(pageSize=arguments.pop("pageSize", 2), **arguments)
        while request is not None:
            pages += 1
            true(pages < 1000, "paging comes to an end")
            page = request.execute()
            items += page.get(field, [])
            request = getattr(collection, f"{method}_next")(request, page)
        names = [item["name"] for item in items]
        equal(len(set(names)), len(names), "no item comes twice")
        return items

    def test_search_and_its_pages(self):
        made = [self.create(f"paged {number}", priority=f"P{number % 5}") for number in range(12)]
        find = lambda query: {case["displayName"] for case in self.search(query)}
        everything = {f"paged {number}" for number in range(12)}
        equal(find('"about paged"'), everything)
        equal(find('"about paged" AND (priority=P0 OR priority=P1)'), {f"paged {n}" for n in (0, 1, 5, 6, 10, 11)})
        equal(find(f'creator.email="{SERVICE_ACCOUNT}" AND state=OPEN AND "about paged"'), everything)
        equal(find('"about paged" AND state=CLOSED'), set())
        equal(find(f'update_time>"{made[8]["updateTime"]}" AND "about paged"'), {"paged 9", "paged 10", "paged 11"})
        listed = self.all(
            self.service.cases(), "cases", parent=ORGANIZATION, filter="priority=P3 AND state=OPEN", pageSize=100
        )
        true({"paged 3", "paged 8"} <= {case["displayName"] for case in listed}, "list with a filter")
        true(all(case["name"].startswith(ORGANIZATION) for case in listed), "a list has no children")

    def test_pages_are_ragged(self):
        sizes = []
        request = self.service.cases().search(parent=ORGANIZATION, pageSize=2)
        while request is not None:
            page = request.execute()
            sizes.append(len(page.get("cases", [])))
            request = self.service.cases().search_next(request, page)
        true(any(size < 2 for size in sizes[:-1]), f"some page is short before the last: {sizes}")

    def test_bad_queries_and_tokens(self):
        cases = self.service.cases()
        for query in ("priority=P9", "nonsense", "state=OPEN AND", 'update_time<"2026-01-01T00:00:00Z"'):
            fails(400, lambda: cases.search(parent=ORGANIZATION, query=query).execute(), "Invalid query")
        fails(400, lambda: cases.search(parent=ORGANIZATION, pageToken="x").execute(), "page token")
        fails(403, lambda: cases.search(parent="organizations/9").execute(), "permission")

    def test_a_query_too_long_for_a_url(self):
        # The client turns such a GET into a POST with X-HTTP-Method-Override.
        equal(self.search('"' + "no such words " * 300 + '"'), [])

    def test_create_and_get(self):
        fields = {
            "timeZone": "-07:00",
            "languageCode": "en",
            "subscriberEmailAddresses": ["a@example.com", "b@example.com"],
            "testCase": True,
        }
        case = self.create("created", "projects/sample-shop", **fields)
        for name, value in fields.items():
            equal(case[name], value)
        equal(case["state"], "NEW")
        equal(case["classification"], self.classification)
        equal(case["creator"]["email"], SERVICE_ACCOUNT)
        equal(self.service.cases().get(name=case["name"]).execute(), case)
        number = case["name"].rsplit("/", 1)[1]
        equal(self.service.cases().get(name=f"{ORGANIZATION}/cases/{number}").execute()["displayName"], "created")

    def test_create_refuses(self):
        for fields, complaint in (
            ({"displayName": ""}, "display_name is required"),
            ({"classification": {"id": "no such"}}, "classification"),
            ({"priority": "URGENT"}, "case.priority"),
            ({"contactEmail": "a@example.com"}, "contact_email"),
            ({"severity": "S2"}, 'Unknown name "severity"'),
        ):
            fails(400, lambda: self.create("refused", **fields), complaint)
        fails(403, lambda: self.create("refused", "projects/unknown"))
        equal(self.search('"about refused"'), [])
        fails(404, lambda: self.service.cases().get(name=f"{ORGANIZATION}/cases/1").execute(), "not found")

    def test_patch(self):
        case = self.create("patched", subscriberEmailAddresses=["a@example.com"])
        patch = lambda **arguments: self.service.cases().patch(name=case["name"], **arguments).execute()
        changed = patch(updateMask="priority", body={"priority": "P0", "displayName": "not in the mask"})
        equal((changed["priority"], changed["displayName"]), ("P0", "patched"))
        true(changed["updateTime"] != case["updateTime"], "the update time moves")
        changed = patch(updateMask="displayName,subscriber_email_addresses", body={"displayName": "renamed"})
        equal((changed["displayName"], "subscriberEmailAddresses" in changed), ("renamed", False))
        changed = patch(body={"priority": "P3"})
        equal((changed["priority"], "displayName" in changed), ("P3", False), "without a mask the rest is cleared")
        fails(400, lambda: patch(updateMask="state", body={}), "'state' cannot be updated")

    def test_close_and_escalate(self):
        case = self.create("closed")
        escalation = {"escalation": {"reason": "TECHNICAL_EXPERTISE", "justification": "It is hard."}}
        escalated = self.service.cases().escalate(name=case["name"], body=escalation).execute()
        equal((escalated["escalated"], escalated["state"]), (True, "NEW"))
        fails(400, lambda: self.service.cases().escalate(name=case["name"], body={}).execute(), "justification")
        equal(self.service.cases().close(name=case["name"]).execute()["state"], "CLOSED")
        true(case["name"] in {found["name"] for found in self.search("state=CLOSED")}, "found as closed")

    def test_comments(self):
        case = self.create("commented")
        comments = self.service.cases().comments()
        bodies = [f"comment {number} \u00e4 \U0001f600\n<b>" for number in range(7)]
        for body in bodies:
            made = comments.create(parent=case["name"], body={"body": body}).execute()
            equal((made["body"], made["creator"]["username"]), (body, SERVICE_ACCOUNT))
            equal(comments.get(name=made["name"]).execute(), made)
        listed = self.all(comments, "comments", parent=case["name"])
        equal(sorted(comment["body"] for comment in listed), bodies)
        times = [comment["createTime"] for comment in listed]
        equal(len(set(times)), len(times), "no two have the same time")
        longest = "\U0001f600" * 12800
        equal(comments.create(parent=case["name"], body={"body": longest}).execute()["body"], longest)
        fails(400, lambda: comments.create(parent=case["name"], body={"body": longest + "x"}).execute(), "12800")
        fails(400, lambda: comments.create(parent=case["name"], body={}).execute(), "required")
        fails(404, lambda: comments.get(name=case["name"] + "/comments/1").execute())

    def test_upload_and_download_media(self):
        case = self.create("attached")
        content = bytes(range(256)) * 5000 + b"\r\n--\r"
        media = lambda kind: MediaIoBaseUpload(io.BytesIO(content), mimetype=kind)

        # As in Google's sample: a raw body, with the file name put into the URL by hand.
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "local.txt")
            with open(path, "wb") as file:
                file.write(content)
            request = self.upload(parent=case["name"], media_body=MediaFileUpload(path))
            request.uri = request.uri.split("?")[0] + "?attachment.filename=uploaded_via_python.txt"
            raw = request.execute()
        equal((raw["filename"], raw["mimeType"]), ("uploaded_via_python.txt", "text/plain"))

        # As the discovery document describes it: multipart/related, with the metadata in front.
        body = {"attachment": {"filename": 'odd "name" \u00fc.bin'}}
        request = self.upload(parent=case["name"], body=body, media_body=media("image/png"))
        multipart = request.execute()
        equal((multipart["filename"], multipart["mimeType"]), ('odd "name" \u00fc.bin', "image/png"))

        attachments = self.service.cases().attachments()
        listed = self.all(attachments, "attachments", parent=case["name"])
        equal({attachment["name"] for attachment in listed}, {raw["name"], multipart["name"]})
        for attachment in (raw, multipart):
            equal(attachment["sizeBytes"], str(len(content)))
            equal(attachments.get(name=attachment["name"]).execute(), attachment)
            whole = self.service.media().download_media(name=attachment["name"]).execute()
            equal(hashlib.sha256(whole).hexdigest(), hashlib.sha256(content).hexdigest(), "in one piece")
            for size in (len(content) * 2, 500_000):
                pieces, file = 0, io.BytesIO()
                request = self.service.media().download_media(name=attachment["name"])
                download, done = MediaIoBaseDownload(file, request, chunksize=size), False
                while not done:
                    pieces += 1
                    _, done = download.next_chunk()
                equal(file.getvalue() == content, True, "in pieces")
                equal(pieces, -(-len(content) // size), "number of pieces")

        # As in Google's sample for downloads.
        request = self.service.media().download(name=raw["name"])
        request.uri = request.uri.split("?")[0] + "?alt=media"
        request.postproc = lambda response, body: body
        equal(request.execute() == content, True, "by the sample's way")
        fails(400, lambda: self.service.media().download(name=raw["name"]).execute(), "alt=media")
        fails(404, lambda: self.service.media().download_media(name=case["name"] + "/attachments/1").execute())
        fails(400, lambda: self.upload(parent=case["name"], media_body=media("a/b")).execute(), "filename")

    def test_an_empty_file(self):
        case = self.create("empty file")
        body = {"attachment": {"filename": "empty"}}
        media = MediaIoBaseUpload(io.BytesIO(b""), mimetype="text/plain")
        made = self.upload(parent=case["name"], body=body, media_body=media).execute()
        equal("sizeBytes" in made, False, "zero is left out")
        file = io.BytesIO()
        download = MediaIoBaseDownload(file, self.service.media().download_media(name=made["name"]))
        equal(download.next_chunk()[1], True, "done at once")
        equal(file.getvalue(), b"")

    def test_errors_have_details(self):
        error = fails(400, lambda: self.create("refused", colour="red"))
        (detail,) = error.error_details
        equal(detail["@type"], "type.googleapis.com/google.rpc.BadRequest")
        equal(detail["fieldViolations"][0]["field"], "case")

    def test_faults_look_like_googles_errors(self):
        get = self.service.cases().get(name=self.create("faulty")["name"])
        self.fault("/cases/", 2, kind="error_before", status=503)
        fails(503, get.execute, "told to fail")
        equal(get.execute(num_retries=1)["displayName"], "faulty", "the client's own retry")
        self.fault("/cases/", 1, kind="rate_limited", retry_after="1")
        equal(fails(429, get.execute).resp["retry-after"], "1")
        self.fault("/cases/", 1, kind="truncate_body", bytes=10)
        try:
            get.execute()
        except Exception as error:  # Which one depends on the HTTP library.
            true("ncomplete" in repr(error), repr(error))
        else:
            raise AssertionError("a cut answer was taken for whole")
        equal(get.execute()["displayName"], "faulty")
        self.sandbox("DELETE", "faults")

    # google-cloud-support

    def test_generated_cases(self):
        case = support_v2.Case(
            display_name="generated",
            description="about generated",
            classification=support_v2.CaseClassification(id=self.classification["id"]),
            priority=support_v2.Case.Priority.P1,
            subscriber_email_addresses=["a@example.com"],
            test_case=True,
        )
        made = self.cases.create_case(parent=ORGANIZATION, case=case)
        equal((made.priority, made.state), (support_v2.Case.Priority.P1, support_v2.Case.State.NEW))
        equal((made.creator.email, made.creator.google_support), (SERVICE_ACCOUNT, False))
        equal(self.cases.get_case(name=made.name), made)

        made.priority = support_v2.Case.Priority.P4
        made.display_name = "not in the mask"
        mask = field_mask_pb2.FieldMask(paths=["priority"])
        changed = self.cases.update_case(case=made, update_mask=mask)
        equal((changed.priority, changed.display_name), (support_v2.Case.Priority.P4, "generated"))
        true(changed.update_time > made.update_time, "the update time moves")
        mask = field_mask_pb2.FieldMask(paths=["display_name", "subscriber_email_addresses"])
        changed = self.cases.update_case(case=support_v2.Case(name=made.name, display_name="g2"), update_mask=mask)
        equal((changed.display_name, list(changed.subscriber_email_addresses)), ("g2", []))

        escalation = support_v2.Escalation(
            reason=support_v2.Escalation.Reason.BUSINESS_IMPACT, justification="We stand still."
        )
        request = support_v2.EscalateCaseRequest(name=made.name, escalation=escalation)
        equal(self.cases.escalate_case(request=request).escalated, True)
        closed = self.cases.close_case(request=support_v2.CloseCaseRequest(name=made.name))
        equal(closed.state, support_v2.Case.State.CLOSED)

        request = support_v2.SearchCasesRequest(parent=ORGANIZATION, query='"about generated"', page_size=1)
        equal([found.name for found in self.cases.search_cases(request=request)], [made.name])
        request = support_v2.ListCasesRequest(parent=ORGANIZATION, filter="state=CLOSED", page_size=1)
        true(made.name in {found.name for found in self.cases.list_cases(request=request)}, "listed")
        request = support_v2.SearchCaseClassificationsRequest(query='display_name:"*Firestore*"')
        (found,) = self.cases.search_case_classifications(request=request)
        true(found.display_name.endswith("Firestore"), found.display_name)

    def test_generated_comments_and_attachments(self):
        case = self.create("generated items")["name"]
        for number in range(5):
            comment = support_v2.Comment(body=f"c{number}")
            equal(self.comments.create_comment(parent=case, comment=comment).body, f"c{number}")
            body = {"attachment": {"filename": f"f{number}"}}
            media = MediaIoBaseUpload(io.BytesIO(b"x" * number), mimetype="text/plain")
            self.upload(parent=case, body=body, media_body=media).execute()
        listed = list(self.comments.list_comments(parent=case))
        equal(sorted(comment.body for comment in listed), [f"c{number}" for number in range(5)])
        equal(self.comments.get_comment(name=listed[0].name), listed[0])
        request = support_v2.ListAttachmentsRequest(parent=case, page_size=2)
        files = {file.filename: file.size_bytes for file in self.attachments.list_attachments(request=request)}
        equal(files, {f"f{number}": number for number in range(5)})

    def test_generated_errors(self):
        raises(exceptions.NotFound, lambda: self.cases.get_case(name=f"{ORGANIZATION}/cases/1"), "not found")
        raises(exceptions.Forbidden, lambda: list(self.cases.list_cases(parent="projects/unknown")), "permission")
        request = support_v2.SearchCasesRequest(parent=ORGANIZATION, query="nonsense")
        raises(exceptions.BadRequest, lambda: list(self.cases.search_cases(request=request)), "Invalid query")
        self.fault("/cases/", 1, kind="rate_limited", retry_after="1")
        raises(exceptions.TooManyRequests, lambda: self.cases.get_case(name=f"{ORGANIZATION}/cases/1"))
        self.sandbox("DELETE", "faults")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    tests = Tests(sys.argv[1].rstrip("/"))
    names = [name for name in vars(Tests) if name.startswith("test_")]
    # The samples are looked at before other cases are there.
    names.sort(key=lambda name: name != "test_samples")
    failed = []
    for name in names:
        before = checks
        try:
            getattr(tests, name)()
            true(checks > before, "a test checks something")
            print(f"ok     {name} ({checks - before} checks)")
        except Exception:
            failed.append(name)
            print(f"FAILED {name}")
            traceback.print_exc(file=sys.stdout)
    total = f"{len(names)} tests, {checks} checks"
    print(f"{total}, failed: {', '.join(failed)}" if failed else f"{total}: all passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
