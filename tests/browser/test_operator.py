"""Every action of an operator's page, by its form, in a browser that runs no script. Each is verified by its effect: at the other system, or by
what the service answers to others.
"""

import re

import pytest
from playwright.sync_api import expect

from conftest import sign_in
from states import attach
from world import until


def open_pair(visit, pair, **options):
    return visit(f"/cases/{pair['ID']}", **options)


def press(page, name):
    page.get_by_role("main").get_by_role("button", name=name, exact=True).click()


def test_a_stranger_is_led_to_the_sign_in_from_every_page(visit):
    for path in ("/", "/cases", "/cases/1"):
        page = visit(path, signed_in=False)
        expect(page).to_have_url(re.compile("/signin$"))
        expect(page.get_by_label("Admin token")).to_be_focused()


def test_a_wrong_token_is_refused_and_the_right_one_signs_in_until_the_sign_out(visit, world):
    page = visit("/signin", signed_in=False, expects=[403])
    sign_in(page, "not the token")
    expect(page.get_by_role("alert")).to_contain_text("not the admin token")
    page.goto("/cases")
    expect(page).to_have_url(re.compile("/signin$"))
    sign_in(page)
    expect(page).to_have_url(world.address + "/")
    page.get_by_role("link", name="All pairs").click()
    expect(page.get_by_role("heading", name="Pairs")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/signin$"))
    page.goto("/")
    expect(page).to_have_url(re.compile("/signin$"))


def test_sync_now_carries_what_no_poll_has_seen(visit, world):
    pair = world.linked()
    world.google.comment(pair["googleCaseName"], "carried by the button")
    page = open_pair(visit, pair)
    press(page, "Sync now")
    expect(page.get_by_role("status")).to_contain_text("Synced")
    assert "carried by the button" in world.crm.page(world.crm.case_page(pair["companyCaseID"]))


def test_a_dry_run_shows_the_plan_and_changes_nothing(visit, world):
    pair = world.linked()
    world.google.comment(pair["googleCaseName"], "to be seen in a plan")
    page = open_pair(visit, pair)
    press(page, "Dry run")
    expect(page.get_by_role("status")).to_contain_text("Nothing was changed")
    expect(page.get_by_role("main")).to_contain_text(re.compile("copy comment", re.I))
    assert "to be seen in a plan" not in world.crm.page(world.crm.case_page(pair["companyCaseID"]))
    page.get_by_role("link", name="Back to the pair").click()
    expect(page).to_have_url(re.compile(f"/cases/{pair['ID']}$"))


def test_a_sync_that_fails_says_so_and_why_and_a_retry_carries_once_the_cause_is_gone(visit, world):
    pair = world.linked()
    world.crm.fault({"kind": "error_before", "status": 403}, "POST", f"/issue/{pair['companyCaseID']}/comment")
    world.google.comment(pair["googleCaseName"], "refused for a while")
    page = open_pair(visit, pair)
    press(page, "Sync now")
    expect(page.get_by_role("status")).to_contain_text("failed")
    expect(page.get_by_role("main")).to_contain_text("Add Comments")
    world.crm.ask("DELETE", "/sandbox/faults")
    press(page, "Retry")
    expect(page.get_by_role("status")).to_contain_text("queued")
    where = world.crm.case_page(pair["companyCaseID"])
    until("the retry carried nothing", lambda: "refused for a while" in world.crm.page(where))


def test_a_pause_holds_everything_back_with_its_reason_until_the_pair_is_resumed(visit, world):
    pair = world.linked()
    page = open_pair(visit, pair)
    form = page.locator("form[action$='/pause']")
    form.get_by_label("Reason").fill("the project moves <b>tonight</b>")
    form.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("Paused")
    expect(page.get_by_role("main")).to_contain_text("the project moves <b>tonight</b>")
    assert world.pair(pair["googleCaseName"])["operator_pause"]["reason"] == "the project moves <b>tonight</b>"
    world.google.comment(pair["googleCaseName"], "written during the pause")
    world.poll()
    synced = world.ask("POST", "/tasks/sync-google-case", {"case_name": pair["googleCaseName"]})
    assert "paused by" in synced.body, synced.body
    where = world.crm.case_page(pair["companyCaseID"])
    assert "written during the pause" not in world.crm.page(where)
    press(page, "Dry run")
    expect(page.get_by_role("main")).to_contain_text(re.compile("copy comment", re.I))
    page.go_back()
    page.reload()
    press(page, "Resume")
    expect(page.get_by_role("status")).to_contain_text("Resumed")
    until("the resumed pair carried nothing", lambda: "written during the pause" in world.crm.page(where))
    assert world.pair(pair["googleCaseName"])["operator_pause"] is None


def test_an_unlinked_pair_carries_nothing_and_no_poll_links_it_again(visit, world):
    pair = world.linked()
    page = open_pair(visit, pair)
    form = page.locator("form[action$='/unlink']")
    form.get_by_label("Reason").fill("linked by mistake")
    form.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("Unlinked")
    expect(page.locator("form[action$='/unlink']")).to_have_count(0)
    assert world.pair(pair["googleCaseName"])["unlinked"]["reason"] == "linked by mistake"
    world.google.comment(pair["googleCaseName"], "after the end")
    before = len(world.pairs())
    world.poll()
    where = world.crm.case_page(pair["companyCaseID"])
    assert len(world.pairs()) == before
    assert "after the end" not in world.crm.page(where)
    page.goto("/")
    expect(page.get_by_role("region", name="Paused and unlinked")).to_contain_text(pair["company_case_key"])
    page.get_by_role("link", name=re.compile(pair["company_case_key"])).click()
    press(page, "Resume")
    until("the resumed pair carried nothing", lambda: "after the end" in world.crm.page(where))


def test_a_skipped_file_is_left_out_for_good_and_the_page_says_who_and_why(visit, world):
    pair = world.linked()
    case = pair["companyCaseID"]
    world.crm.fault({"kind": "error_before", "status": 403}, "POST", f"/issue/{case}/attachments")
    attach(world.google.address + world.google.case_page(pair["googleCaseName"]) + "/attachments", "core.dump", b"x" * 100, role="google")
    page = open_pair(visit, pair)
    press(page, "Sync now")
    [refusal] = world.pair(pair["googleCaseName"])["refusals"]
    refused = page.get_by_role("region", name="Refused")
    [file] = re.findall(r"file (\S+)", refused.inner_text())
    assert file.rstrip(":,") in str(refusal), refusal
    form = page.locator("form[action$='/skip']")
    form.get_by_label("ID of the comment or file").fill(file)
    form.get_by_label("Reason").fill("it is on the share")
    form.get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("skipped")
    expect(page.get_by_role("region", name="Skipped")).to_contain_text("it is on the share")
    world.crm.ask("DELETE", "/sandbox/faults")
    press(page, "Sync now")
    expect(page.get_by_role("status")).to_contain_text("Synced")
    assert "core.dump" not in world.crm.page(world.crm.case_page(case))
    assert world.pair(pair["googleCaseName"])["skipped"][0]["reason"] == "it is on the share"


def test_a_case_is_found_by_each_of_its_names(visit, world):
    pair = world.linked()
    page = visit("/")
    for name in (
        pair["company_case_key"],
        pair["companyCaseID"],
        pair["company_case_address"],
        pair["googleCaseName"],
        pair["googleCaseName"].rsplit("/", 1)[1],
        pair["google_case_address"],
    ):
        page.goto("/")
        page.get_by_label("Find a case").fill(name)
        page.get_by_role("button", name="Find").click()
        expect(page, name).to_have_url(re.compile(f"/cases/{pair['ID']}$"))


@pytest.mark.parametrize("query", ["SUP-99999", "no such words", "<script>alert(1)</script>", "https://elsewhere.example/browse/SUP-1", "😀", "%"])
def test_a_name_that_nothing_has_is_answered_with_itself(visit, query):
    page = visit("/")
    page.get_by_label("Find a case").fill(query)
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("main")).to_contain_text(query)
    expect(page.get_by_label("Find a case")).to_have_value(query)


def test_all_pairs_are_listed_page_by_page_each_once(visit, world):
    for number in range(max(0, 56 - len(world.pairs()))):
        world.google.create(f"Case {number} of many")
    world.poll("google")
    known = {str(pair["ID"]) for pair in world.pairs()}
    page = visit("/cases?filter=all")
    seen = []
    while True:
        rows = page.get_by_role("main").locator("tbody a[href^='/cases/']")
        seen += [row.get_attribute("href").rsplit("/", 1)[1] for row in rows.all()]
        following = page.get_by_role("link", name="Next page")
        if following.count() == 0:
            break
        following.click()
    assert len(seen) == len(set(seen)) and set(seen) >= known, (seen, known)
    # Every filter is a link that can be followed from every other.
    for name in page.get_by_role("navigation", name="Filter").get_by_role("link").all_inner_texts():
        page.get_by_role("navigation", name="Filter").get_by_role("link", name=name, exact=True).click()
        expect(page.locator("[aria-current=true]")).to_have_text(name)
    until("the new cases got no counterparts", world.is_idle, 60)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/cases/999999", 404, "no such mapping"),
        ("/cases/abc", 400, "whole number"),
        ("/cases/-1", 404, "no such mapping"),
        ("/cases/%FF", 400, "UTF-8"),
        ("/cases?filter=nonsense", 400, "filter must be one of"),
        ("/cases?after=x", 400, "after"),
        ("/nowhere", 404, "nothing here"),
        ("/signout", 405, "not allowed"),
    ],
)
def test_a_broken_address_is_a_page_with_the_way_back(visit, path, status, words):
    page = visit("/", expects=[status])
    answer = page.goto(path)
    assert answer.status == status
    expect(page.get_by_role("main")).to_contain_text(re.compile(words, re.I))
    page.get_by_role("main").get_by_role("link").first.click()
    expect(page.get_by_label("Find a case")).to_be_visible()


def test_a_form_with_an_item_that_nothing_has_says_so_and_changes_nothing(visit, world):
    pair = world.linked()
    page = open_pair(visit, pair, expects=[409])
    form = page.locator("form[action$='/skip']")
    form.get_by_label("ID of the comment or file").fill("no-such-item")
    form.get_by_label("Reason").fill("a try")
    form.get_by_role("button").click()
    expect(page.get_by_role("main")).to_contain_text("neither case has a comment or a file with that ID")
    assert world.pair(pair["googleCaseName"])["skipped"] == []


def test_a_form_without_its_required_fields_is_not_sent(visit, world):
    pair = world.linked()
    page = open_pair(visit, pair)
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    page.locator("form[action$='/skip']").get_by_role("button").click()
    page.wait_for_timeout(200)
    assert "POST" not in sent


def test_a_form_without_its_token_is_refused(visit, world):
    pair = world.linked()
    page = open_pair(visit, pair, javascript=True, expects=[403])
    page.evaluate("document.querySelector('form[action$=\"/pause\"] input[name=token]').remove()")
    press(page, "Pause")
    expect(page.get_by_role("main")).to_contain_text("not sent by a page of this service")
    assert world.pair(pair["googleCaseName"])["operator_pause"] is None


def test_a_form_of_another_site_changes_nothing(visit, world):
    """The sandbox's host is another origin, which has a form that looks like the page's own."""
    pair = world.linked()
    page = open_pair(visit, pair, expects=[403], hosts=[world.crm.address])
    token = page.locator("form[action$='/pause'] input[name=token]").get_attribute("value")
    other = f"{world.crm.address}/"
    form = f"<form method=post action='{world.address}/cases/{pair['ID']}/pause'><input name=token value='{token}'><button>Win</button></form>"
    page.route(other, lambda route: route.fulfill(body=form, content_type="text/html"))
    page.goto(other)
    page.get_by_role("button", name="Win").click()
    expect(page.locator("body")).to_contain_text(re.compile("not sent by a page of this service|Sign in"))
    assert world.pair(pair["googleCaseName"])["operator_pause"] is None


def test_two_windows_do_not_pause_a_pair_twice(visit, world):
    pair = world.linked()
    one, other = open_pair(visit, pair), open_pair(visit, pair, expects=[409])
    press(one, "Pause")
    expect(one.get_by_role("status")).to_contain_text("Paused")
    press(other, "Pause")
    expect(other.get_by_role("main")).to_contain_text("paused by")
