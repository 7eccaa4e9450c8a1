"""The link form, the plots, the plan on request, and the limit on wrong tokens."""

import re

import pytest
from playwright.sync_api import expect

from conftest import sign_in
from looks import LOOKS, problems
from world import World, until


def link(page, google, company, reason=""):
    form = page.locator("form[action='/cases/link']")
    form.get_by_label("Google case").fill(google)
    form.get_by_label("Company case").fill(company)
    form.get_by_label("Reason").fill(reason)
    form.get_by_role("button").click()


def test_two_cases_that_were_opened_apart_are_linked_by_a_form(visit, world):
    google, company = world.google.create("Opened at Google"), world.crm.create("Opened at the desk")
    world.google.comment(google, "said before the link")
    page = visit("/")
    link(page, google, company, "opened twice")
    expect(page).to_have_url(re.compile(r"/cases/\d+\?done=link"))
    assert world.pair(google)["company_case_key"] == company
    where = world.crm.case_page(company)
    until("the link carried nothing", lambda: "said before the link" in world.crm.page(where))
    # Each has one counterpart, whatever the polls find.
    before = len(world.pairs())
    world.settle()
    assert len(world.pairs()) == before


def test_a_link_that_cannot_be_says_why_and_changes_nothing(visit, world):
    pair = world.linked()
    company = world.crm.create("A third case", flagged=False)
    page = visit("/", expects=[400, 404, 409])
    link(page, pair["googleCaseName"], company)
    expect(page.get_by_role("main")).to_contain_text(pair["company_case_key"])
    assert world.pair(pair["googleCaseName"])["companyCaseID"] == pair["companyCaseID"]
    page.goto("/")
    link(page, "no such case", "SUP-99999")
    expect(page.get_by_role("main").get_by_role("link", name="Back to the overview")).to_be_visible()


def test_the_plan_is_shown_on_request_and_changes_nothing(visit, world):
    pair = world.linked()
    world.google.comment(pair["googleCaseName"], "to be seen before it is carried")
    page = visit(f"/cases/{pair['ID']}")
    plan = page.get_by_role("region", name="What would happen now")
    plan.get_by_role("button").click()
    expect(page).to_have_url(re.compile("plan=1"))
    expect(plan.get_by_role("status")).to_contain_text("Nothing was changed")
    expect(plan).to_contain_text(re.compile("copy comment", re.I))
    assert "to be seen before it is carried" not in world.crm.page(world.crm.case_page(pair["companyCaseID"]))


def test_each_plot_has_its_words_and_a_table_that_opens_by_keyboard(visit, world):
    page = visit("/", javascript=True)
    day = page.get_by_role("region", name="The last day")
    figures = day.get_by_role("figure")
    assert figures.count() == day.get_by_role("img").count() == 4
    for figure in figures.all():
        assert figure.get_by_role("img").get_attribute("aria-labelledby")
        figure.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(figure.get_by_role("table")).to_be_visible()


@pytest.mark.parametrize("look", LOOKS)
def test_the_plots_and_a_plan_are_readable_for_everybody(visit, world, look):
    pair = world.pairs()[0]
    page = visit("/", javascript=True, **LOOKS[look])
    for summary in page.locator("summary").all():
        summary.click()
    found = problems(page, "the open tables")
    page.goto(f"/cases/{pair['ID']}?plan=1")
    found += problems(page, "the plan")
    assert found == [], "\n".join(found)


def test_an_address_that_guesses_tokens_is_refused_for_a_while_and_told_so(visit, binary):
    world = World(binary)
    try:
        page = visit("/signin", where=world.address, signed_in=False, expects=[403, 429])
        for number in range(5):
            sign_in(page, f"guess {number}")
        sign_in(page, world.token)
        expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Try again in \d+ seconds"))
        expect(page).to_have_url(re.compile("/signin$"))
        page.goto("/")
        expect(page).to_have_url(re.compile("/signin$"))
    finally:
        world.stop()
