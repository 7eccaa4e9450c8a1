"""The whole way from the sign-in to a pause without a mouse: Tab, Shift+Tab and Enter reach everything, and what has the focus is seen."""

import re

from playwright.sync_api import expect

from conftest import ADMIN_TOKEN

# What has the focus, where it is, and how it is marked.
FOCUSED = """() => {
    const each = document.activeElement, style = getComputedStyle(each), box = each.getBoundingClientRect();
    return {
        name: (each.labels?.[0]?.innerText ?? each.innerText ?? '').trim(),
        tag: each.tagName,
        form: each.form ? new URL(each.form.action).pathname : '',
        outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        shown: box.width > 0 && box.right > 0 && box.bottom > 0 && box.left < innerWidth && box.top < innerHeight,
    };
}"""


def tab_to(page, is_it, most=60):
    """Presses Tab until that has the focus. Whatever has it on the way is seen, and nothing keeps it."""
    before = None
    for _ in range(most):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at["tag"] == "BODY":
            continue
        assert at["outlined"] and at["shown"], f"the focus is not seen: {at}"
        if is_it(at):
            return at
        before = at
    raise AssertionError(f"{most} times Tab did not lead there; at last at {before}")


def named(name, form=""):
    return lambda at: name in at["name"] and at["form"].endswith(form)


def test_from_the_sign_in_to_a_pause_and_back_by_keyboard_alone(visit, world):
    pair = world.linked()
    page = visit("/signin", signed_in=False, javascript=True)
    expect(page.get_by_label("Admin token")).to_be_focused()
    page.keyboard.type(ADMIN_TOKEN)
    page.keyboard.press("Enter")
    expect(page).to_have_url(world.address + "/")

    # The first stop leads past the navigation.
    page.keyboard.press("Tab")
    at = page.evaluate(FOCUSED)
    assert at["name"] == "Skip to the content" and at["shown"], at
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"

    tab_to(page, named("Find a case"))
    page.keyboard.type(pair["company_case_key"])
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/cases/{pair['ID']}$"))

    tab_to(page, named("Reason", "/pause"))
    page.keyboard.type("by keyboard")
    tab_to(page, named("Pause", "/pause"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Paused")
    assert world.pair(pair["googleCaseName"])["operator_pause"]["reason"] == "by keyboard"

    tab_to(page, named("Resume", "/resume"))
    page.keyboard.press("Space")
    expect(page.get_by_role("status")).to_contain_text("Resumed")
    assert world.pair(pair["googleCaseName"])["operator_pause"] is None

    # And back: from the last thing to the first.
    tab_to(page, named("Unlink", "/unlink"))
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(FOCUSED)["name"] == "Sign out":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/signin$"))
