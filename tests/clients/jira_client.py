"""Runs the PyPI client `jira`, unchanged, against a sandbox Jira.

Usage: jira_client.py cloud|data-center URL [oauth]

The sandbox must hold its samples (`seed_samples`) and nothing else, and demand the credentials below: with `oauth` a
token of the client `casebridge`, as Cloud through Atlassian's gateway. As Cloud it is a
service management project and its attachments lie on another port; as Data Center closing demands a resolution.

Prints one line for each test and a closing line; exits with 1 if any test failed.
"""

import hashlib
import io
import re
import sys
import traceback

import requests
from jira import JIRA, JIRAError

DEPLOYMENT, URL = sys.argv[1], sys.argv[2]
CLOUD = DEPLOYMENT == "cloud"
OAUTH = sys.argv[3:] == ["oauth"]
FLAG = "customfield_10050"
GOOGLE_NAME = "customfield_10051"

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
    except JIRAError as error:
        equal(error.status_code, status, f"status of {error.text!r}")
        for part in parts:
            true(part in error.text, f"{part!r} in {error.text!r}")
        return
    raise AssertionError(f"expected status {status}, got {answer!r}")


def sandbox(method, path, body=None):
    """Steers the sandbox; no part of Jira's API."""
    requests.request(method, f"{URL}/sandbox/{path}", json=body, timeout=30).raise_for_status()


def access_token():
    """Requests a token as an OAuth client does."""
    asked = {"grant_type": "client_credentials", "client_id": "casebridge", "client_secret": "secret"}
    if CLOUD:
        answer = requests.post(f"{URL}/oauth/token", json=asked, timeout=30)
    else:
        answer = requests.post(f"{URL}/rest/oauth2/latest/token", data=asked | {"scope": "WRITE"}, timeout=30)
    answer.raise_for_status()
    return answer.json()["access_token"]


def server():
    """The address that takes the credentials."""
    if not (OAUTH and CLOUD):
        return URL
    cloud_id = requests.get(f"{URL}/_edge/tenant_info", timeout=30).json()["cloudId"]
    return f"{URL}/ex/jira/{cloud_id}"


def connect(**changes):
    if OAUTH:
        credentials = {"token_auth": access_token()}
    elif CLOUD:
        credentials = {"basic_auth": ("bot@example.com", "secret")}
    else:
        credentials = {"token_auth": "secret"}
    return JIRA(server=server(), max_retries=0, **{**credentials, **changes})


jira = connect()


def new_issue(summary, **fields):
    return jira.create_issue(project="SUP", issuetype={"name": "Task"}, summary=summary, **fields)


def server_info():
    info = jira.server_info()
    equal(info["deploymentType"], "Cloud" if CLOUD else "Server")
    equal(jira._is_cloud, CLOUD)
    equal(info["baseUrl"], URL)
    true(jira._version >= (9, 0, 0), "the version")


def who_am_i():
    me = jira.myself()
    equal(me["displayName"], "Casebridge")
    equal(me["timeZone"], "Etc/UTC")
    true(me["accountId" if CLOUD else "name"], "the ID")


def credentials():
    by_password = CLOUD and not OAUTH
    wrong = {"basic_auth": ("bot@example.com", "wrong")} if by_password else {"token_auth": "wrong"}
    fails(401, lambda: connect(**wrong).myself(), "uthenticat")


def permissions():
    asked = jira.my_permissions(projectKey="SUP", permissions="ADD_COMMENTS,CREATE_ISSUES")
    true(asked["permissions"]["ADD_COMMENTS"]["havePermission"], "may comment")


def fields():
    by_id = {field["id"]: field for field in jira.fields()}
    equal(by_id[FLAG]["name"], "synchronizeWithGoogleCloudSupport")
    equal(by_id[FLAG]["schema"]["customId"], 10050)
    equal(by_id[GOOGLE_NAME]["schema"]["type"], "string")


def priorities_and_the_like():
    equal([priority.name for priority in jira.priorities()], ["Highest", "High", "Medium", "Low", "Lowest"])
    equal(jira.priority("1").name, "Highest")
    true("Done" in [resolution.name for resolution in jira.resolutions()], "a resolution")
    equal(jira.resolution("10000").name, "Done")
    true("In Progress" in [status.name for status in jira.statuses()], "a status")
    equal({category.key for category in jira.statuscategories()}, {"new", "indeterminate", "done"})
    equal(jira.project("SUP").name, "Support")
    equal(sorted(project.key for project in jira.projects()), ["OPS", "SUP"])
    true("Google Cloud" in [part.name for part in jira.project_components("SUP")], "the component")
    true("Task" in [kind.name for kind in jira.issue_types()], "the issue type")
    fails(404, lambda: jira.project("NOPE"), "NOPE")


def create_meta():
    if CLOUD:
        meta = jira.createmeta(projectKeys="SUP", issuetypeNames="Task", expand="projects.issuetypes.fields")
        kind = meta["projects"][0]["issuetypes"][0]
        true(FLAG in kind["fields"], "the flag")
        equal(kind["fields"]["priority"]["allowedValues"][0]["name"], "Highest")
    else:
        kinds = {kind.name: kind.id for kind in jira.project_issue_types("SUP")}
        found = {field.fieldId: field for field in jira.project_issue_fields("SUP", kinds["Task"])}
        true(FLAG in found, "the flag")
        true(found["summary"].required, "the summary is required")


def create_read_update_delete():
    issue = new_issue(
        "A disk is full",
        description="*raw* {text}",
        priority={"name": "High"},
        components=[{"name": "Google Cloud"}],
        labels=["one"],
        **{FLAG: [{"value": "true"}], GOOGLE_NAME: "organizations/1/cases/77"},
    )
    true(re.fullmatch(r"SUP-\d+", issue.key), issue.key)
    equal(issue.fields.summary, "A disk is full")
    equal(issue.fields.description, "*raw* {text}")
    equal(issue.fields.priority.name, "High")
    equal(issue.fields.components[0].name, "Google Cloud")
    equal(getattr(issue.fields, FLAG)[0].value, "true")
    equal(getattr(issue.fields, GOOGLE_NAME), "organizations/1/cases/77")
    equal(issue.fields.status.statusCategory.key, "new")
    equal(issue.fields.resolution, None)
    equal(issue.fields.reporter.displayName, "Casebridge")
    true(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", issue.fields.updated), issue.fields.updated)

    issue.update(summary="A disk was full", priority={"name": "Lowest"}, labels=[{"add": "two"}])
    equal(issue.fields.summary, "A disk was full")
    equal(issue.fields.priority.name, "Lowest")
    equal(issue.fields.labels, ["one", "two"])
    issue.update(fields={FLAG: None})
    equal(getattr(issue.fields, FLAG), None)
    issue.add_field_value("components", {"name": "Network"})
    issue = jira.issue(issue.id, fields="components,summary")
    equal(sorted(part.name for part in issue.fields.components), ["Google Cloud", "Network"])
    true(not hasattr(issue.fields, "priority"), "only what was asked for")

    issue.delete()
    fails(404, lambda: jira.issue(issue.id), "oes")


def errors():
    fails(400, lambda: new_issue("x", priority={"name": "P1"}), "Priority name 'P1' is not valid")
    fails(400, lambda: new_issue("x", customfield_99999="y"), "not on the appropriate screen")
    fails(400, lambda: new_issue("two\nlines"), "newline")
    issue = new_issue("For errors")
    fails(400, lambda: jira.add_comment(issue, "x" * 32_768), "32,767")
    fails(404, lambda: jira.comment(issue, "1"), "1")
    fails(404, lambda: jira.add_comment("SUP-9999", "x"), "oes")
    fails(404, lambda: jira.attachment("1"), "does not exist")
    issue.delete()


def search(jql, **options):
    return jira.search_issues(jql, **options)


def searches():
    sample = search('project = SUP AND cf[10050] = "true" AND updated >= -5m')
    equal([issue.fields.summary for issue in sample], ["Nightly export fails with 403"])
    named = search("project = SUP ORDER BY key", fields="synchronizeWithGoogleCloudSupport,summary")
    equal(getattr(named[0].fields, FLAG)[0].value, "true")
    issues = [new_issue(f"number {number}", **{GOOGLE_NAME: f"projects/p/cases/{number}"}) for number in range(5)]
    jql = 'project = SUP AND summary ~ "number" ORDER BY created ASC'
    expected = [issue.id for issue in issues]
    equal([issue.id for issue in search(jql, maxResults=False)], expected)
    exact = search('cf[10051] ~ "\\"projects/p/cases/3\\""', fields=GOOGLE_NAME)
    equal([getattr(issue.fields, GOOGLE_NAME) for issue in exact], ["projects/p/cases/3"])
    if CLOUD:
        page = jira.enhanced_search_issues(jql, maxResults=2)
        true(page.nextPageToken, "there is more")
        rest = jira.enhanced_search_issues(jql, maxResults=0, nextPageToken=page.nextPageToken, use_post=True)
        equal([issue.id for issue in [*page, *rest]], expected)
        raw = jira.enhanced_search_issues(
            jql, fields="", reconcileIssues=[int(issues[0].id)], json_result=True, maxResults=2
        )
        equal(raw["issues"], [{"id": issue} for issue in expected[:2]])
        equal(jira.approximate_issue_count(jql), 5)
        fails(400, lambda: search("ORDER BY created"), "Unbounded JQL")
    else:
        page = search(jql, startAt=1, maxResults=2)
        equal((page.total, page.startAt, [issue.id for issue in page]), (5, 1, expected[1:3]))
        equal([issue.id for issue in search(jql, maxResults=2, use_post=True)], expected[:2])
        true(len(search("ORDER BY created")) > 5, "unbounded queries are good")
    fails(400, lambda: search("project = NOPE"), "The value 'NOPE' does not exist for the field 'project'.")
    fails(400, lambda: search("project = SUP AND AND"), "Error in the JQL Query")
    fails(400, lambda: search('cf[10051] = "x"'), "is not supported")
    sandbox("PUT", "search-lag", {"seconds": 3600})
    equal(list(search(jql)), [], "the index lags")
    equal(jira.issue(issues[0].id).id, issues[0].id, "the issue does not")
    sandbox("PUT", "search-lag", {"seconds": 0})
    for issue in issues:
        issue.delete()


def rate_limits():
    sandbox("POST", "faults", {"path": "/myself", "times": 1, "effect": {"kind": "rate_limited", "retry_after": "7"}})
    try:
        jira.myself()
    except JIRAError as error:
        equal((error.status_code, error.response.headers["Retry-After"]), (429, "7"))
    else:
        raise AssertionError("no rate limit")
    true(jira.myself(), "and then all is as before")
    sandbox("DELETE", "faults")


def comments():
    issue = new_issue("For comments")
    first = jira.add_comment(issue, "{noformat}grüße 😀{noformat}")
    equal(first.body, "{noformat}grüße 😀{noformat}")
    equal(first.author.displayName, "Casebridge")
    second = jira.add_comment(issue, "between us", is_internal=True)
    if CLOUD:
        equal([comment.jsdPublic for comment in jira.comments(issue)], [True, False])
    else:
        true(not hasattr(second, "jsdPublic"), "no service management")
    equal([c.id for c in jira.comments(issue, order_by="-created", max_results=1)], [second.id])
    equal([c.id for c in jira.comments(issue, start_at=1)], [second.id])
    with_properties = jira.comments(issue, expand="properties")[1]
    equal(with_properties.properties[0].key, "sd.public.comment")
    equal(jira.comment(issue, first.id).body, first.body)
    first.update(body="changed")
    equal(jira.comment(issue, first.id).body, "changed")
    second.delete()
    equal([comment.id for comment in jira.comments(issue)], [first.id])
    equal([comment.id for comment in jira.issue(issue.id).fields.comment.comments], [first.id])
    issue.update(comment="by editing")
    equal(jira.comments(issue)[-1].body, "by editing")
    issue.delete()


def attachments():
    issue = new_issue("For attachments")
    content = bytes(range(256)) * 5000
    added = jira.add_attachment(issue, io.BytesIO(content), filename="a file (1).bin")
    equal((added.filename, added.size), ("a file (1).bin", len(content)))
    listed = jira.issue(issue.id).fields.attachment[0]
    equal((listed.id, listed.filename, listed.size), (added.id, added.filename, added.size))
    equal(listed.author.displayName, "Casebridge")
    equal(hashlib.sha256(listed.get()).hexdigest(), hashlib.sha256(content).hexdigest())
    pieces = b"".join(jira.attachment(added.id).iter_content(65_536))
    equal(len(pieces), len(content))
    true(jira.attachment_meta()["uploadLimit"] >= 10 * 1024 * 1024, "the limit")
    equal(jira.add_attachment(issue, io.BytesIO(b"x"), filename="grüße 😀.txt").filename, "grüße 😀.txt")
    first = requests.get(listed.content, headers=dict(jira._session.headers), auth=jira._session.auth, allow_redirects=False)
    equal(first.status_code, 303 if CLOUD else 200)
    if not CLOUD:
        jira.delete_attachment(added.id)
    else:
        listed.delete()
    equal(len(jira.issue(issue.id).fields.attachment), 1)
    issue.delete()


def transitions():
    issue = new_issue("For transitions")
    by_category = {}
    for transition in jira.transitions(issue, expand="transitions.fields"):
        by_category.setdefault(transition["to"]["statusCategory"]["key"], []).append(transition)
    closing = by_category["done"][0]
    equal(closing["fields"]["resolution"]["required"], not CLOUD)
    if not CLOUD:
        fails(400, lambda: jira.transition_issue(issue, closing["id"]), "Resolution is required.")
    jira.transition_issue(issue, "Start Progress")
    equal(jira.issue(issue.id).fields.status.name, "In Progress")
    jira.transition_issue(issue, closing["id"], fields={"resolution": {"name": "Won't Do"}}, comment="closed")
    issue = jira.issue(issue.id)
    equal(issue.fields.status.statusCategory.key, "done")
    equal(issue.fields.resolution.name, "Won't Do")
    true(issue.fields.resolutiondate, "when")
    equal(jira.comments(issue)[-1].body, "closed")
    equal([transition["name"] for transition in jira.transitions(issue)], ["Reopen Issue"])
    jira.transition_issue(issue, "Reopen Issue")
    equal(jira.issue(issue.id).fields.resolution, None)
    fails(400, lambda: jira.transition_issue(issue, 41), "41")
    issue.delete()


def properties():
    issue = new_issue("For properties")
    jira.add_issue_property(issue.id, "casebridge", {"case": "organizations/1/cases/2"})
    equal(jira.issue_property(issue.id, "casebridge").value.case, "organizations/1/cases/2")
    equal([entry.key for entry in jira.issue_properties(issue.id)], ["casebridge"])
    issue.delete()


TESTS = [
    server_info,
    who_am_i,
    credentials,
    permissions,
    fields,
    priorities_and_the_like,
    create_meta,
    create_read_update_delete,
    errors,
    searches,
    rate_limits,
    comments,
    attachments,
    transitions,
    properties,
]


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print(f"ok      {test.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {test.__name__}\n{traceback.format_exc()}", flush=True)
    if failed:
        print(f"{failed} of {len(TESTS)} tests failed")
        sys.exit(1)
    print(f"{len(TESTS)} tests, {checks} checks: all passed")


if __name__ == "__main__":
    main()
