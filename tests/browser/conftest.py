"""What the browser tests share: the browser, the programs, and pages that report whatever goes wrong in them."""

import os
import pathlib
import shutil
import urllib.parse

import pytest
from playwright.sync_api import expect, sync_playwright

from world import ADMIN_TOKEN, World

# Without a sandbox of its own, since CI runs as root in a container; and without what a browser fetches for itself.
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Nothing is asserted about times: this long, a machine that does much else may take.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


def pytest_addoption(parser):
    parser.addoption("--binary", required=True, help="the binary of casebridge, with the sandboxes")


@pytest.fixture(scope="session")
def binary(pytestconfig):
    path = pathlib.Path(pytestconfig.getoption("--binary")).resolve()
    assert os.access(path, os.X_OK), f"{path} is no program: build it first"
    return path


@pytest.fixture(scope="session")
def chromium():
    # Chromium without its own windows and menus, which cost a second of processor time for each window that a test opens.
    path = os.environ.get("CASEBRIDGE_CHROMIUM") or shutil.which("chromium-headless-shell")
    assert path, "Chromium is missing: `apt-get install chromium-headless-shell`, or .ci/browser.sh"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def world(binary):
    """The service between the sandboxes of Google and Jira, with an admin token. The sample cases have their counterparts."""
    world = World(binary)
    try:
        world.settle()
        yield world
    finally:
        world.stop()


class Trouble:
    """What a page should not do: report an error or a breach of its policy, or ask another host for something."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.found = []
        # Statuses that a test expects: a browser reports a page that is answered with an error status.
        self.statuses = set()

    def watch(self, page):
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.found.append(f"error on {page.url}: {error}"))
        page.on("request", self.request)

    def console(self, message):
        if message.type in ("error", "warning") and not any(f"status of {status} " in message.text for status in self.statuses):
            self.found.append(f"console: {message.text}")

    def request(self, request):
        host = urllib.parse.urlparse(request.url).netloc
        if host not in self.hosts:
            self.found.append(f"a request to another host: {request.url}")


@pytest.fixture(scope="session")
def sign_ins(chromium):
    """Returns a function that signs in to a service, by the form and once for all tests, and returns the cookie."""
    known = {}

    def of(address):
        if address not in known:
            context = chromium.new_context(base_url=address, java_script_enabled=False)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            sign_in(page)
            expect(page).to_have_url(address + "/")
            known[address] = context.storage_state()
            context.close()
        return known[address]

    return of


@pytest.fixture
def visit(chromium, world, sign_ins):
    """Returns a function that opens a page in a new browser window, and fails the test if anything goes wrong in one.

    Without `javascript`, which is the promise of the pages. `where` is another service or sandbox. In a service it is signed in.
    """
    contexts, troubles = [], []

    def open_window(path="/", where=None, signed_in=True, javascript=False, expects=(), hosts=(), **options):
        where = where or world.address
        if signed_in:
            options["storage_state"] = sign_ins(where)
        context = chromium.new_context(base_url=where, java_script_enabled=javascript, viewport=options.pop("viewport", DESKTOP), **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        trouble = Trouble({urllib.parse.urlparse(each).netloc for each in (world.address, where, *hosts)})
        trouble.statuses.update(expects)
        troubles.append(trouble)
        page = context.new_page()
        trouble.watch(page)
        page.goto(path)
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert [found for trouble in troubles for found in trouble.found] == []


def sign_in(page, token=ADMIN_TOKEN):
    page.goto("/signin")
    page.get_by_label("Admin token").fill(token)
    page.get_by_role("button", name="Sign in").click()
