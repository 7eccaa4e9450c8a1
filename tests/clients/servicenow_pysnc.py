"""Holds the sandbox ServiceNow to the truth of the vendor's own Python client, pysnc, which is used unchanged.

    servicenow_pysnc.py URL [oauth]

The sandbox has its samples, and lets in "bot" with the password "secret", or with "oauth" the client "casebridge" with the secret "secret". pysnc speaks https only; the sandbox http only: a
transport of requests, which pysnc takes as its session, goes to the same address without TLS.
"""

import sys
from datetime import datetime, timedelta, timezone

import requests
from pysnc import ServiceNowClient
from pysnc.exceptions import AuthenticationException, RoleException

ADDRESS, OAUTH = sys.argv[1].rstrip("/"), sys.argv[2:] == ["oauth"]
FLAG = "u_synchronize_with_google_cloud_support"
GOOGLE_NAME = "u_google_case_name"


class WithoutTls(requests.adapters.HTTPAdapter):
    """Sends what is meant for https over http."""

    def send(self, request, **settings):
        request.url = request.url.replace("https://", "http://", 1)
        return super().send(request, **settings)


class Bearer(requests.auth.AuthBase):
    """Sends an access token, which an OAuth client requests."""

    def __init__(self, secret):
        asked = {"grant_type": "client_credentials", "client_id": "casebridge", "client_secret": secret}
        answer = requests.post(f"{ADDRESS}/oauth_token.do", data=asked, timeout=30)
        self.token = answer.json().get("access_token", "none")

    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def connect(password="secret"):
    session = requests.Session()
    session.trust_env = False
    session.auth = Bearer(password) if OAUTH else ("bot", password)
    session.mount("https://", WithoutTls())
    return ServiceNowClient(ADDRESS.replace("http://", "https://", 1), session, auto_retry=False)


client = connect()


def check(what, holds, seen=None):
    if not holds:
        raise SystemExit(f"FAILED: {what}: {seen!r}")
    print(f"ok: {what}")


def incidents(encoded=None, **settings):
    found = client.GlideRecord("incident", **settings)
    if encoded:
        found.add_encoded_query(encoded)
    found.query()
    return found


def incident(text, **fields):
    record = client.GlideRecord("incident")
    record.initialize()
    record.short_description = text
    for name, value in fields.items():
        record.set_value(name, value)
    record.insert()
    return record


# --- who may call

try:
    wrong = connect("wrong").GlideRecord("incident")
    wrong.query()
    check("a wrong password is refused", False)
except AuthenticationException as error:
    check("a wrong password is refused", "User Not Authenticated" in str(error), error)

me = client.GlideRecord("sys_user")
me.add_encoded_query("sys_id=javascript:gs.getUserID()")
me.query()
check("the asking user is found by a script", len(me) == 1 and me.next() and me.get_value("user_name") == "bot")

# --- creating, reading, changing, deleting

before = datetime.now(timezone.utc).replace(microsecond=0, tzinfo=None)
made = incident("From pysnc", description="two\nlines", impact="1", urgency="2", **{FLAG: "true", GOOGLE_NAME: "organizations/1/cases/2"})
made_id = made.get_value("sys_id")
check("an incident is inserted", len(made_id) == 32 and made.get_value("number").startswith("INC"), made_id)
check("defaults are set", made.get_value("state") == "1" and made.get_value("active") == "true")
check("the priority comes of impact and urgency", made.get_value("priority") == "2", made.get_value("priority"))
check("display values are shown beside values", made.get_display_value("state") == "New" and made.get_display_value("priority") == "2 - High", made.get_display_value("priority"))
created = datetime.strptime(made.get_value("sys_created_on"), "%Y-%m-%d %H:%M:%S")
check("times are UTC, whole seconds, without a zone", timedelta(0) <= created - before < timedelta(minutes=1), created)
shown = datetime.strptime(made.get_display_value("sys_created_on"), "%Y-%m-%d %H:%M:%S")
check("displayed times are in the user's zone", created - shown == timedelta(hours=8), shown)
check("pysnc reads the time", made.sys_created_on.date_value().replace(tzinfo=None) == created, made.sys_created_on.date_value())

read = client.GlideRecord("incident")
check("a record is read by its sys_id", read.get(made_id) and read.get_value("description") == "two\nlines")
check("a reference has its display value", read.get_display_value("opened_by") == "Casebridge", read.get_display_value("opened_by"))
check("a record that is not there is not found", not client.GlideRecord("incident").get("0" * 32))
by_number = client.GlideRecord("incident")
check("a record is read by another column", by_number.get("number", read.get_value("number")) and by_number.get_value("sys_id") == made_id)

read.short_description = "Changed"
read.set_value("priority", "5")
check("a record is updated", read.update() == made_id and read.get_value("short_description") == "Changed")
check("a computed priority stays", read.get_value("priority") == "2")
check("an update is counted", read.get_value("sys_mod_count") == "1", read.get_value("sys_mod_count"))
long_text = "x" * 300
read.short_description = long_text
read.update()
check("what is too long is cut without a word", read.get_value("short_description") == long_text[:160])
read.set_value("u_no_such_column", "x")
check("a column that is not there is left out without a word", read.update() == made_id and "u_no_such_column" not in read.serialize())

# --- journals

read.set_value("comments", "to the caller")
read.update()
check("a journal's column is empty as a value", not read.get_value("comments"), read.get_value("comments"))
read.set_value("work_notes", "among us")
read.update()
check("its entries are displayed in one text", "(Additional comments)\nto the caller" in read.get_display_value("comments"), read.get_display_value("comments"))
check("work notes are displayed apart", "among us" not in read.get_display_value("comments"))
both = read.get_display_value("comments_and_work_notes")
check("and all together, newest first", both.index("among us") < both.index("to the caller"), both)
entries = client.GlideRecord("sys_journal_field")
entries.add_query("element_id", made_id)
entries.order_by_desc("sys_created_on")
entries.query()
told = {entry.get_value("element"): (entry.get_value("value"), entry.get_value("sys_created_by")) for entry in entries}
check("entries are read from sys_journal_field", told == {"comments": ("to the caller", "bot"), "work_notes": ("among us", "bot")}, told)

# --- closing

read.set_value("state", "6")
try:
    read.update()
    check("closing without its mandatory fields is refused", False)
except RoleException as error:
    check("closing without its mandatory fields is refused", "Data Policy Exception" in str(error) and "Resolution code" in str(error), error)
closing = client.GlideRecord("incident")
closing.get(made_id)
closing.set_value("state", "6")
closing.set_value("close_code", "Solution provided")
closing.set_value("close_notes", "It works again.")
check("with them it is resolved", closing.update() == made_id and closing.get_display_value("state") == "Resolved")
check("resolved is still active", closing.get_value("active") == "true" and closing.get_value("resolved_at") != "")
closing.set_value("state", "2")
check("it can be opened again", closing.update() == made_id and closing.get_value("resolved_at") == "")
closing.set_value("state", "7")
closing.update()
check("closed is inactive", closing.get_value("active") == "false")
closing.set_value("comments", "too late")
try:
    closing.update()
    check("a closed incident takes nothing", False)
except RoleException as error:
    check("a closed incident takes nothing", "ACL Exception" in str(error), error)

# --- queries and pages

others = [incident(f"page {number:02}", category="paging", impact="3", urgency=str(number % 3 + 1)) for number in range(25)]
paged = client.GlideRecord("incident", batch_size=10)
paged.add_query("category", "paging")
paged.order_by("number")
paged.query()
check("the total is told", len(paged) == 25, len(paged))
numbers = [record.get_value("number") for record in paged]
check("all pages are read, in order", len(numbers) == 25 and numbers == sorted(numbers), numbers)
limited = client.GlideRecord("incident", batch_size=10)
limited.add_query("category", "paging")
limited.limit = 12
limited.query()
check("a limit holds over pages", sum(1 for _ in limited) == 12)
some = client.GlideRecord("incident")
some.fields = "number,opened_by.name"
some.add_query("category", "paging")
some.limit = 1
some.query()
some.next()
check("only the fields that were asked for come", set(some.serialize()) == {"sys_id", "number", "opened_by.name"}, some.serialize())
check("a reference is walked", some.get_value("opened_by.name") == "Casebridge")


def count(encoded):
    return len(incidents(encoded))


check("IN", count("category=paging^urgencyIN1,2") == 17, count("category=paging^urgencyIN1,2"))
check("OR binds to the condition before", count("category=paging^urgency=1^ORurgency=2") == 17)
check("NQ begins anew", count("category=paging^urgency=1^NQcategory=paging^urgency=2") == 17)
check("LIKE, STARTSWITH, ENDSWITH", (count("short_descriptionLIKEage 0"), count("short_descriptionSTARTSWITHpage 1"), count("short_descriptionENDSWITHage 24")) == (10, 10, 1))
check("ISEMPTY and ISNOTEMPTY", count(f"{GOOGLE_NAME}ISNOTEMPTY^category=paging") == 0 and count(f"{GOOGLE_NAME}ISEMPTY^category=paging") == 25)
check("numbers compare as numbers", count("category=paging^urgency>=2") == 16)
check("a relative time", count("category=paging^sys_created_onRELATIVEGT@minute@ago@5") == 25 and count("category=paging^sys_created_onRELATIVELT@minute@ago@5") == 0)
everything = count(None)
check("an invalid condition is left out, and everything matches", count("u_no_such_column=1") == everything > 25, count("u_no_such_column=1"))
query = client.GlideRecord("incident")
condition = query.add_query("short_description", "page 03")
condition.add_or_condition("short_description", "page 04")
query.add_active_query()
query.query()
check("conditions that pysnc puts together", len(query) == 2, len(query))
null = client.GlideRecord("incident")
null.add_null_query("close_code")
null.add_query("category", "paging")
null.query()
check("a null query", len(null) == 25)
long_query = "^OR".join(f"short_description=page {number:02}" + "-" * 400 for number in range(40))
check("a query that is too long for an address goes in a batch", count(f"category=paging^{long_query}") == 0)

answer = client.session.get(f"{client.instance}/api/now/table/incident", params={"sysparm_limit": 10, "sysparm_offset": 10, "sysparm_query": "category=paging^ORDERBYnumber"})
links = answer.links
check("the Link header names the other pages", set(links) == {"first", "prev", "next", "last"}, links)
check("and the count stands in X-Total-Count", answer.headers["X-Total-Count"] == "25")
following = client.session.get(links["next"]["url"].replace("http://", "https://", 1))
check("following it leads to the end", len(following.json()["result"]) == 5 and "next" not in following.links, following.links)

# --- several at once

doomed = client.GlideRecord("incident")
doomed.add_query("category", "paging")
doomed.query()
for record in doomed:
    record.set_value("category", "batched")
check("many are updated in a batch", doomed.update_multiple() and count("category=batched") == 25, count("category=batched"))
doomed = client.GlideRecord("incident")
doomed.add_query("category", "batched")
doomed.query()
check("many are deleted in a batch", doomed.delete_multiple() and count("category=batched") == 0, count("category=batched"))

# --- attachments

target = incident("With files")
target_id = target.get_value("sys_id")
content = bytes(range(256)) * 300
location = target.add_attachment("data \u00e4 (1).bin", content, content_type="application/x-test")
check("a file is attached", location.startswith(ADDRESS) and "/attachment/" in location, location)
target.add_attachment("notes.txt", b"one\ntwo")
listed = target.get_attachments()
names = {}
for attachment in listed:
    names[attachment.file_name] = (int(attachment.size_bytes), attachment.content_type, attachment.read())
check("attachments are listed and read", names.get("data \u00e4 (1).bin") == (len(content), "application/x-test", content) and names["notes.txt"][2] == b"one\ntwo", list(names))
lines = [attachment.readlines() for attachment in target.get_attachments() if attachment.file_name == "notes.txt"]
check("a file's lines are read", lines == [["one", "two"]], lines)
temporary = [attachment.as_temp_file().read() for attachment in target.get_attachments() if attachment.file_name == "notes.txt"]
check("a file is read in pieces", temporary == [b"one\ntwo"])
single = client.Attachment("incident")
check("one is read by its sys_id", single.get(location.rsplit("/", 1)[1]) and single.size_bytes == str(len(content)), single.size_bytes)
single.delete()
check("and deleted", not client.Attachment("incident").get(location.rsplit("/", 1)[1]))

# --- the other table

case = client.GlideRecord("sn_customerservice_case")
case.initialize()
case.short_description = "A customer's"
case.set_value("priority", "1")
case.insert()
check("a customer service case keeps its priority", case.get_value("number").startswith("CS") and case.get_display_value("priority") == "1 - Critical", case.get_display_value("priority"))
target.delete()
case.delete()
check("records are deleted", not client.GlideRecord("incident").get(target_id))
try:
    client.GlideRecord("u_no_such_table").query()
    check("a table that is not there is refused", False)
except Exception as error:
    check("a table that is not there is refused", "Invalid table u_no_such_table" in str(error), error)


def steer(method, path, body=None):
    """Steers the sandbox; no part of ServiceNow's API."""
    requests.request(method, f"{ADDRESS}/sandbox/{path}", json=body, timeout=30).raise_for_status()


steer("POST", "faults", {"times": 1, "effect": {"kind": "rate_limited", "retry_after": "7"}})
limited = client.session.get(f"{client.instance}/api/now/table/incident?sysparm_limit=1")
check("a rate limit says when to come again", (limited.status_code, limited.headers["Retry-After"]) == (429, "7"), limited.headers)
again = client.session.get(f"{client.instance}/api/now/table/incident?sysparm_limit=1")
check("and then all is as before", again.status_code == 200, again.status_code)
steer("DELETE", "faults")

print("all passed")
