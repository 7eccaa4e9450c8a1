"""The service's pages in every state that has other markup, on a desktop and on a phone, light and dark: readable for everybody, nothing to
scroll sideways to, no breach of the pages' own policy, no request to anybody else.
"""

import re

import pytest
from playwright.sync_api import expect

from conftest import sign_in
from looks import LOOKS, assert_good, problems
from states import attach
from world import World, until

TINY = '{ fresh = "1s", default = "1s", stale = "1s" }'

# A reason as long as it may be, without a place to break a line.
LONG = "https://desk.example/" + "x" * 279


def jira_field(world, name):
    return next(field["id"] for field in world.crm.ask("GET", "/rest/api/2/field").json if field["name"] == name)


class Gallery:
    """One service with a pair in each state. P4 cases are late as soon as a second has passed."""

    def __init__(self, binary):
        self.world = World(binary, settings={"outages.tolerance": {"P4": TINY}, "sync": {"give_up_after": '"1s"'}})
        self.paths = {}
        try:
            self.make()
        except BaseException:
            self.world.stop()
            raise

    def make(self):
        world = self.world
        names = {
            name: world.google.create(f"The case of {name}", priority="P4" if name.startswith("late") else "P2")
            for name in (
                "in-step", "late", "late-and-failing", "failing", "given-up", "paused", "paused-by-flag", "unlinked",
                "missing", "read-only", "skipped", "resolved", "conflict",
            )
        }  # fmt: skip
        world.settle()
        pairs = {name: world.pair(case) for name, case in names.items()}
        of = lambda name: pairs[name]["companyCaseID"]  # noqa: E731

        # Neither side's sync ends well, so that the one does not hide the other's error.
        for name in ("failing", "late-and-failing"):
            world.crm.fault({"kind": "error_before", "status": 403}, path=f"/issue/{of(name)}")
        world.crm.fault({"kind": "error_before", "status": 400}, "POST", f"/issue/{of('given-up')}/transitions")
        world.google.form(world.google.case_page(names["given-up"]) + "/state", state="CLOSED")
        world.crm.ask(
            "PUT",
            "/sandbox/manners",
            {"hidden_issues": [of("missing")], "archived_issues": [of("read-only")]},
        )
        for name in ("failing", "late-and-failing", "missing", "read-only", "paused-by-flag"):
            world.google.comment(names[name], f"a comment of {name}")
        world.act(names["paused"], "pause", reason=LONG)
        world.act(names["unlinked"], "unlink", reason="two cases by mistake")
        world.crm.form(world.crm.case_page(of("paused-by-flag")) + "/flag", on="false")
        attach(world.google.address + world.google.case_page(names["skipped"]) + "/attachments", "core.dump", b"x", role="google")
        world.google.comment(names["skipped"], "a comment that is left out")
        comments = world.google.ask("GET", f"/v2/{names['skipped']}/comments").json["comments"]
        skipped = next(each for each in comments if "left out" in each["body"])["name"].rsplit("/", 1)[1]
        answer = world.act(names["skipped"], "skip", item=skipped, reason=LONG)
        assert answer.status == 200, answer.body
        world.google.form(world.google.case_page(names["resolved"]) + "/state", state="CLOSED")
        second = world.crm.create("A second case about the same")
        field = jira_field(world, "custom_field_google_name")
        world.crm.ask("PUT", f"/rest/api/2/issue/{second}", {"fields": {field: names["conflict"]}})
        world.poll()

        def given_up():
            """Syncs what is refused until the connector gives it up: after a second, and three tries."""
            for name in ("given-up", "read-only"):
                world.ask("POST", "/tasks/sync-google-case", {"case_name": names[name]})
            refusals = world.pair(names["given-up"])["refusals"]
            return any(each["given_up"] for each in refusals) and world.pair(names["read-only"])["read_only_since"]["company"]

        until("nothing was given up", given_up)
        for name in ("failing", "late-and-failing", "missing", "paused-by-flag"):
            world.ask("POST", "/tasks/sync-google-case", {"case_name": names[name]})
        world.ask("POST", "/tasks/detect-outages")
        self.names = names
        self.paths = {name: f"/cases/{pair['ID']}" for name, pair in pairs.items()}
        until("there is no conflict", lambda: next((pair for pair in world.pairs() if pair["conflict"]), None))
        [conflict] = [pair for pair in world.pairs() if pair["conflict"]]
        self.paths["conflict"] = f"/cases/{conflict['ID']}"


@pytest.fixture(scope="module")
def gallery(binary):
    gallery = Gallery(binary)
    yield gallery
    gallery.world.stop()


# The word that the pair's page says in each state.
WORDS = {
    "in-step": "in step",
    "late": "out of step",
    "late-and-failing": "failing",
    "failing": "failing",
    "given-up": "given up",
    "paused": "paused by an operator",
    "paused-by-flag": "paused: no flag",
    "unlinked": "unlinked",
    "missing": "case not found",
    "read-only": "takes no changes",
    "resolved": "resolved",
    "conflict": "conflict",
    "skipped": "in step",
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("state", WORDS)
def test_the_page_of_a_pair(visit, gallery, state, look):
    page = visit(gallery.paths[state], where=gallery.world.address, javascript=True, **LOOKS[look])
    assert WORDS[state] in page.locator(".word").all_inner_texts()
    assert_good(page, state)


@pytest.mark.parametrize("look", LOOKS)
def test_a_dry_run_and_the_sentence_after_an_action(visit, gallery, look):
    page = visit(gallery.paths["paused"], where=gallery.world.address, javascript=True, **LOOKS[look])
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Dry run")
    assert_good(page, "the plan")
    page.goto(gallery.paths["in-step"])
    page.get_by_role("button", name="Sync now").click()
    expect(page.get_by_role("status")).to_contain_text("Synced")
    assert_good(page, "the pair after an action")


@pytest.mark.parametrize("look", LOOKS)
def test_the_overview_the_list_and_what_is_not_found(visit, gallery, look):
    page = visit("/", where=gallery.world.address, javascript=True, expects=[404, 400, 409], **LOOKS[look])
    assert page.get_by_role("region", name=re.compile("Needs a look")).get_by_role("listitem").count() >= 6
    found = []
    for path in ("/", "/?q=no-such-case", "/?q=%F0%9F%98%80" + "y" * 300, "/cases?filter=all", "/cases?filter=late", "/cases?filter=conflicts",
                 "/cases/999999", "/cases/" + "9" * 400, "/cases?filter=" + "z" * 300, "/nowhere"):  # fmt: skip
        page.goto(path)
        found += problems(page, path[:40])
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("look", LOOKS)
def test_the_sign_in_and_its_refusal(visit, gallery, look):
    page = visit("/signin", where=gallery.world.address, signed_in=False, javascript=True, expects=[403], **LOOKS[look])
    assert_good(page, "the sign-in")
    sign_in(page, "not the token")
    expect(page.get_by_role("alert")).to_be_visible()
    assert_good(page, "the refusal")


@pytest.fixture(scope="module", params=["nothing was polled", "a side is silent", "the clock was set back"])
def troubled(request, binary):
    """A service with a headline of its own, and that headline."""
    world = World(binary)
    headline = "Not in step: a side is not polled"
    if request.param != "nothing was polled":
        world.settle()
        world.later(40)
        world.poll("google")
    if request.param == "the clock was set back":
        headline = "The clock of this machine is wrong"
        world.later(0)
    yield world, headline
    world.stop()


@pytest.mark.parametrize("look", LOOKS)
def test_the_headline_of_a_service_that_does_not_run_as_it_should(visit, troubled, look):
    world, headline = troubled
    page = visit("/", where=world.address, javascript=True, **LOOKS[look])
    assert page.get_by_role("heading", level=1).inner_text() == headline
    assert_good(page, headline)
    page.goto("/cases?filter=all")
    assert_good(page, "the list")


@pytest.mark.parametrize("look", LOOKS)
def test_a_service_that_is_in_step(visit, world, look):
    page = visit("/", javascript=True, **LOOKS[look])
    assert_good(page, "the overview")


def test_no_page_may_run_a_script_load_anything_else_or_be_framed(visit, world):
    page = visit("/", javascript=True)
    answers = []
    page.on("response", lambda answer: answers.append(answer))
    for path in ("/", "/cases", "/signin", f"/cases/{world.pairs()[0]['ID']}"):
        page.goto(path)
        assert page.locator("script, iframe, img, object, embed, [style], [onclick]").count() == 0
    for answer in answers:
        if "text/html" in answer.header_value("content-type"):
            policy = answer.header_value("content-security-policy")
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy, policy
            assert answer.header_value("cache-control") == "no-store"


def test_the_policy_stops_a_script_that_got_into_a_page(chromium, world):
    context = chromium.new_context(base_url=world.address)
    try:
        page = context.new_page()
        violations = []
        page.on("console", lambda message: violations.append(message.text))
        page.route("**/signin", lambda route: spoil(route))
        page.goto("/signin")
        page.wait_for_timeout(100)
        assert page.title() != "taken over"
        assert any("Content Security Policy" in text for text in violations), violations
    finally:
        context.close()


def spoil(route):
    answer = route.fetch()
    body = answer.text().replace("</main>", "<script>document.title = 'taken over'</script></main>")
    route.fulfill(response=answer, body=body)
