"""The sandboxes' pages, as the people of both sides use them: what is done by a form in one appears in the other. No page runs a script."""

import re

import pytest
from playwright.sync_api import expect

from looks import LOOKS, problems
from world import CRMS, World, until

# The forms of each CRM: labels and buttons, as its page has them.
FORMS = {
    "jira": {"title": "Summary", "description": "Description", "comment": "Comment", "add": "Add", "closed": "Done"},
    "zendesk": {"title": "Subject", "description": "Description", "comment": "Text", "add": "Add", "closed": "solved"},
    "servicenow": {"title": "Short description", "description": "Description", "comment": "Text", "add": "Post", "closed": "Closed"},
}
FORMS["jira-service-management"] = FORMS["jira"]


@pytest.fixture(scope="module", params=CRMS)
def desk(request, binary):
    world = World(binary, request.param)
    world.settle()
    yield world
    world.stop()


@pytest.fixture
def of_google(visit, desk):
    return visit("/", where=desk.google.address, signed_in=False)


@pytest.fixture
def of_crm(visit, desk):
    return visit("/", where=desk.crm.address, signed_in=False)


def both(desk):
    """A case that exists on both sides, as its pair."""
    return desk.linked("A case for people")


def test_a_case_of_google_arrives_at_the_desk(desk, of_google, of_crm):
    page = of_google
    page.get_by_label("Title").fill("Disks <b>vanish</b>")
    page.get_by_label("Description").fill("Since noon.\nAll of them.")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Disks <b>vanish</b>")
    desk.settle()
    of_crm.reload()
    of_crm.get_by_role("row", name="Disks <b>vanish</b>").get_by_role("link").click()
    expect(of_crm.get_by_role("main")).to_contain_text("All of them.")


def test_a_case_of_the_desk_arrives_at_google(desk, of_google, of_crm):
    forms, page = FORMS[desk.kind], of_crm
    page.get_by_label(forms["title"], exact=True).fill("The network is slow")
    page.get_by_label(forms["description"], exact=True).fill("From Zürich & Genève.")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("The network is slow")
    desk.settle()
    of_google.reload()
    of_google.get_by_role("row", name=re.compile("The network is slow")).first.get_by_role("link").click()
    expect(of_google.get_by_role("main")).to_contain_text("From Zürich & Genève.")


def test_comments_go_both_ways(desk, of_google, of_crm):
    pair, forms = both(desk), FORMS[desk.kind]
    of_google.goto(desk.google.case_page(pair["googleCaseName"]))
    of_google.get_by_label("Comment").fill("Have you tried <i>again</i>?")
    of_google.get_by_role("button", name="Add comment").click()
    of_crm.goto(desk.crm.case_page(pair["companyCaseID"]))
    of_crm.get_by_label(forms["comment"], exact=True).fill("Yes, twice & once more.")
    of_crm.get_by_role("button", name=forms["add"], exact=True).click()
    desk.settle()
    of_google.reload()
    of_crm.reload()
    expect(of_google.get_by_role("main")).to_contain_text("Yes, twice & once more.")
    expect(of_crm.get_by_role("main")).to_contain_text("Have you tried <i>again</i>?")


def test_a_file_of_google_arrives_at_the_desk(desk, of_google, of_crm):
    pair = both(desk)
    of_google.goto(desk.google.case_page(pair["googleCaseName"]))
    form = of_google.locator("form[enctype]")
    form.get_by_label("File").set_input_files({"name": "träce.log", "mimeType": "text/plain", "buffer": b"one line"})
    form.get_by_role("button", name="Attach").click()
    expect(of_google.get_by_role("link", name="träce.log")).to_be_visible()
    desk.settle()
    of_crm.goto(desk.crm.case_page(pair["companyCaseID"]))
    expect(of_crm.get_by_role("main")).to_contain_text("träce.log")


def test_a_file_of_the_desk_arrives_at_google(desk, of_google, of_crm):
    if not desk.kind.startswith("jira"):
        # These pages have no form for files.
        of_crm.goto(desk.crm.case_page(both(desk)["companyCaseID"]))
        assert of_crm.locator("input[type=file]").count() == 0
        return
    pair = both(desk)
    of_crm.goto(desk.crm.case_page(pair["companyCaseID"]))
    form = of_crm.locator("form[enctype]")
    form.get_by_label("File").set_input_files({"name": "desk.txt", "mimeType": "text/plain", "buffer": b"from the desk"})
    form.get_by_role("button", name="Attach").click()
    expect(of_crm.get_by_role("link", name="desk.txt")).to_be_visible()
    desk.settle()
    of_google.goto(desk.google.case_page(pair["googleCaseName"]))
    with of_google.expect_download() as download:
        of_google.get_by_role("link", name="desk.txt").click()
    with open(download.value.path(), "rb") as file:
        assert file.read() == b"from the desk"


def test_google_closes_a_case_and_the_desk_follows(desk, of_google, of_crm):
    pair = both(desk)
    of_google.goto(desk.google.case_page(pair["googleCaseName"]))
    of_google.get_by_role("button", name="Close", exact=True).click()
    expect(of_google.get_by_role("button", name="Reopen")).to_be_visible()
    desk.poll("google")
    where = desk.crm.case_page(pair["companyCaseID"])
    closed = {"zendesk": "solved", "servicenow": "Closed|Resolved"}.get(desk.kind, "Done|Resolved|Closed")
    of_crm.goto(where)

    def follows():
        of_crm.reload()
        return re.search(closed, of_crm.locator(".badge").first.inner_text())

    until("the desk's case stays open", follows)


def test_the_desk_closes_a_case_and_google_follows(desk, of_google, of_crm):
    pair = both(desk)
    of_crm.goto(desk.crm.case_page(pair["companyCaseID"]))
    if desk.kind.startswith("jira"):
        form = of_crm.locator("form[action$='/transition']")
        option = next(text for text in form.locator("option").all_inner_texts() if re.search("→ (Done|Resolved|Closed)", text))
        form.get_by_role("combobox").select_option(label=option)
        form.get_by_role("button").click()
    else:
        form = of_crm.locator("form[action$='/fields']")
        form.get_by_label({"zendesk": "Status", "servicenow": "State"}[desk.kind]).select_option(
            label={"zendesk": "solved", "servicenow": "Closed"}[desk.kind]
        )
        form.get_by_role("button", name="Save").click()
    desk.poll("company")
    of_google.goto(desk.google.case_page(pair["googleCaseName"]))

    def follows():
        of_google.reload()
        return of_google.get_by_role("button", name="Reopen").count()

    until("Google's case stays open", follows)


@pytest.mark.parametrize("look", LOOKS)
def test_the_pages_are_readable_for_everybody(visit, desk, look):
    pair, found = desk.pairs()[0], []
    for sandbox, case in ((desk.google, pair["googleCaseName"]), (desk.crm, pair["companyCaseID"])):
        page = visit("/", where=sandbox.address, signed_in=False, javascript=True, expects=[404], **LOOKS[look])
        for path in ("/", sandbox.case_page(case), sandbox.case_page("99999999"), "/sandbox/break"):
            page.goto(path)
            found += problems(page, path)
    assert found == [], "\n".join(found)


def test_what_is_broken_on_a_page_hits_the_connector_until_it_is_mended(visit, desk):
    page = visit("/", where=desk.crm.address, signed_in=False)
    page.get_by_role("link", name="Break something").click()
    expect(page.get_by_role("main")).to_contain_text("No call goes wrong")
    page.get_by_label("The sandbox").select_option(label="answers 500: an error of its own")
    page.get_by_label("Method").select_option("GET")
    page.get_by_label("How often").fill("1000")
    page.get_by_role("button", name="Break", exact=True).click()
    [poll] = desk.poll("company")
    assert poll.status == 500, poll.body
    page.reload()
    row = page.get_by_role("row", name=re.compile("GET.*answers 500.*at most 1000 times"))
    assert int(row.get_by_role("cell").last.inner_text()) > 0
    page.get_by_label("Its clock is ahead by").fill("-15")
    page.get_by_label("Its search is late by").fill("20")
    page.get_by_role("button", name="Set", exact=True).click()
    state = desk.crm.ask("GET", "/sandbox/faults").json
    assert (state["clock_ahead_seconds"], state["search_lag_seconds"]) == (-900, 1200)
    page.get_by_role("button", name="Mend everything").click()
    expect(page.get_by_role("main")).to_contain_text("No call goes wrong")
    state = desk.crm.ask("GET", "/sandbox/faults").json
    assert (state["faults"], state["clock_ahead_seconds"], state["search_lag_seconds"]) == ([], 0, 0)
    [poll] = desk.poll("company")
    assert poll.status == 200, poll.body
