"""What every page must hold, however it is looked at: nothing to scroll sideways to, and nothing that axe-core finds serious."""

import itertools

from axe_playwright_python.sync_playwright import Axe

from conftest import DESKTOP, PHONE

# Each way of looking at a page: its name, and the options of the browser's window.
LOOKS = {
    f"{size}-{scheme}": {"viewport": viewport, "color_scheme": scheme}
    for (size, viewport), scheme in itertools.product({"desktop": DESKTOP, "phone": PHONE}.items(), ("light", "dark"))
}


def overflow(page):
    """Returns the elements that reach beyond the right edge of the window, if the page can be scrolled sideways."""
    return page.evaluate(
        """() => {
            const root = document.documentElement;
            if (root.scrollWidth <= root.clientWidth) return [];
            const wide = [...document.body.querySelectorAll('*')].filter(each => each.getBoundingClientRect().right > root.clientWidth);
            return wide.map(each => each.outerHTML.slice(0, 120)).concat([`${root.scrollWidth} > ${root.clientWidth}`]);
        }"""
    )


def findings(page):
    """Returns what axe-core finds serious or critical, each with its place."""
    result = Axe().run(page).response
    assert result["passes"], "axe-core ran no check"
    return [
        f"{found['id']} ({found['impact']}): {found['help']}: {node['html'][:200]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]


def problems(page, name):
    """Returns what is wrong with a page, each with the name that the test gives it."""
    # With its style: a form's answer may have come without it so far.
    page.wait_for_load_state("load")
    return [f"{name}: reaches too far: {each}" for each in overflow(page)] + [f"{name}: {each}" for each in findings(page)]


def assert_good(page, name):
    found = problems(page, name)
    assert found == [], "\n".join(found)
