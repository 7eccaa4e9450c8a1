"""The states in which an operator finds the pages at three in the morning. Each is made as docs/sandbox.md says, with requests that can be
typed, and each returns the pair to look at.

    python3 tests/browser/states.py BINARY STATE [CRM]

makes one and keeps it until Ctrl-C, to look at with a browser.
"""

import sys
import time

from world import World, until


def speaks_at_google(world, pair, text="Please look at the logs."):
    world.google.comment(pair["googleCaseName"], text)
    world.poll("google")


def expired_token(world):
    """The CRM's credentials have ended: Jira answers as to a visitor, the others with 401."""
    pair = world.linked()
    if world.kind.startswith("jira"):
        world.crm.ask("PUT", "/sandbox/manners", {"expired_credentials": True})
    else:
        world.crm.ask("PUT", "/sandbox/switches", {"anonymous": True})
    speaks_at_google(world, pair)
    world.poll()
    return world.fails(pair["googleCaseName"])


def lost_right(world):
    """The connector's user may read, and no longer comment."""
    pair = world.linked()
    method, path = {
        "zendesk": ("PUT", "/api/v2/tickets/"),
        "servicenow": ("PATCH", "/api/now/"),
    }.get(world.kind, ("POST", "/comment"))
    world.crm.fault({"kind": "error_before", "status": 403}, method, path)
    speaks_at_google(world, pair)
    world.poll()
    return world.fails(pair["googleCaseName"])


def hidden_case(world):
    """The connector's user may no longer see the project (Jira)."""
    pair = world.linked()
    world.crm.ask("PUT", "/sandbox/manners", {"hidden_projects": ["SUP"]})
    speaks_at_google(world, pair)
    world.poll()
    return until("the case is not missed", lambda: (p := world.pair(pair["googleCaseName"])) and p["missing"]["company"] and p)


def late_index(world):
    """Google's search shows changes 20 minutes late."""
    pair = world.linked()
    world.google.ask("PUT", "/sandbox/search-lag", {"seconds": 1200})
    world.google.comment(pair["googleCaseName"], "Please look at the logs.")
    world.google.create("A case that no search shows yet")
    for _ in range(3):
        world.poll()
    return world.pair(pair["googleCaseName"])


def wrong_clock(world):
    """The CRM's clock is a quarter of an hour behind."""
    pair = world.linked()
    world.crm.ask("PUT", "/sandbox/clock", {"ahead_seconds": -900})
    world.crm.comment(pair["companyCaseID"], "Written by a clock that is behind.")
    speaks_at_google(world, pair)
    world.poll()
    return world.pair(pair["googleCaseName"])


def conflict(world):
    """A second company case names a Google case that has its counterpart (Jira)."""
    pair = world.linked()
    fields = world.crm.ask("GET", "/rest/api/2/field").json
    [field] = [field["id"] for field in fields if field["name"] == "custom_field_google_name"]
    second = world.crm.create("A second case about the same")
    world.crm.ask("PUT", f"/rest/api/2/issue/{second}", {"fields": {field: pair["googleCaseName"]}})
    world.poll()
    return until("there is no conflict", lambda: next((p for p in world.pairs() if p["conflict"]), None))


def mandatory_field(world):
    """Closing asks for a field that nobody fills in (Jira, Zendesk)."""
    pair = world.linked()
    place = "/sandbox/manners" if world.kind.startswith("jira") else "/sandbox/switches"
    world.crm.ask("PUT", place, {"demanding": True})
    world.google.form(world.google.case_page(pair["googleCaseName"]) + "/state", state="CLOSED")
    world.poll("google")
    return until("nothing was refused", lambda: (p := world.pair(pair["googleCaseName"])) and (p["refusals"] or p["last_error"]) and p)


def file_refused(world):
    """The CRM takes no file of that size."""
    pair = world.linked()
    path = {"zendesk": "/uploads", "servicenow": "/attachment/file"}.get(world.kind, "/attachments")
    world.crm.fault({"kind": "error_before", "status": 413}, "POST", path)
    attach(world.google.address + world.google.case_page(pair["googleCaseName"]) + "/attachments", "core.dump", b"x" * 2000)
    before = pair["copies"]
    world.poll("google")
    # A refusal for good is explained on the case in place of the file.
    return until("no file was refused", lambda: (p := world.pair(pair["googleCaseName"])) and p["copies"] > before and p)


def upstream_down(world):
    """The CRM's host closes every connection."""
    pair = world.linked()
    world.crm.fault({"kind": "hang_up_before"})
    speaks_at_google(world, pair)
    world.poll()
    return world.fails(pair["googleCaseName"])


def own_pace(world):
    """More changes than `company.requests_per_minute` allows. Needs a small one."""
    world.poll("company")
    for number in range(25):
        world.google.create(f"Case {number} of a morning when everything broke")
    world.poll("google")
    time.sleep(40)
    waiting = [pair for pair in world.pairs() if pair["google"]["waiting_since"]]
    return waiting[-1]


def push_failing(world):
    """The CRM's webhook signs with another secret, so its messages are refused."""
    pair = world.linked()
    world.command("push", "enable", "company")
    world.crm.ask("PUT", "/sandbox/sending", {"forged": True})
    world.crm.comment(pair["companyCaseID"], "A comment that a refused message announces.")
    time.sleep(3)
    return world.pair(pair["googleCaseName"])


STATES = {
    state.__name__: state
    for state in (
        expired_token,
        lost_right,
        late_index,
        wrong_clock,
        conflict,
        mandatory_field,
        file_refused,
        upstream_down,
        own_pace,
        push_failing,
        hidden_case,
    )
}

SETTINGS = {
    "own_pace": {"company": {"requests_per_minute": "30"}, "sync": {"deadline": '"4m"', "lease": '"5m"'}},
    "push_failing": {
        "push.company": {"secret": '"env:CASEBRIDGE_WEBHOOK_SECRET"', "address": '"http://127.0.0.1:PORT/push/company"'}
    },
}


# Credentials, which an error names. The sandboxes look at none.
CREDENTIALS = {
    "jira": {"company.jira": {"email": '"casebridge@example.com"', "api_token": '"env:CRM_SECRET"'}},
    "zendesk": {"company.zendesk": {"email": '"casebridge@example.com"', "api_token": '"env:CRM_SECRET"'}},
    "servicenow": {"company.servicenow": {"user": '"casebridge"', "password": '"env:CRM_SECRET"'}},
}


def settings_of(state, crm="jira"):
    """The settings that a state needs."""
    if state == "expired_token":
        return CREDENTIALS["jira" if crm.startswith("jira") else crm]
    return SETTINGS.get(state)


def attach(url, name, content, **fields):
    """Sends a file as a form does."""
    import urllib.request

    limit = "a-line-that-no-file-has"
    parts = [f'--{limit}\r\ncontent-disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    head = f'--{limit}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\ncontent-type: application/octet-stream\r\n\r\n'
    body = "".join([*parts, head]).encode() + content + f"\r\n--{limit}--\r\n".encode()
    headers = {"content-type": f"multipart/form-data; boundary={limit}"}
    with urllib.request.urlopen(urllib.request.Request(url, data=body, method="POST", headers=headers), timeout=30) as answer:
        assert answer.status == 200, answer.status


if __name__ == "__main__":
    binary, wanted, crm = (*sys.argv[1:], "jira")[:3]
    world = World(binary, crm, settings_of(wanted, crm), token=None)
    try:
        pair = STATES[wanted](world)
        print(f"{wanted}: {world.address}/cases/{pair['ID']}", flush=True)
        print(f"Google's side {world.google.address}, the CRM {world.crm.address}, logs in {world.folder.name}", flush=True)
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        pass
    finally:
        world.stop()
