"""Generates a client from the description that the service returns, with openapi-python-client, and uses it unchanged.

    openapi_client.py URL

The service has one pair, of the Google case "organizations/123/cases/…" and the Jira issue SUP-1, and lets in "the-admin-token".
"""

import subprocess
import sys
import tempfile
from pathlib import Path

URL = sys.argv[1].rstrip("/")

folder = Path(tempfile.mkdtemp())
settings = folder / "settings.yaml"
# No formatter: nobody reads the code.
settings.write_text("post_hooks: []\n")
generated = subprocess.run(
    [
        sys.executable, "-m", "openapi_python_client", "generate",
        "--url", f"{URL}/api/v1/openapi.json", "--config", settings,
        "--output-path", folder / "casebridge_client", "--meta", "none",
    ],
    capture_output=True,
    text=True,
)
assert generated.returncode == 0, generated.stdout + generated.stderr
# The generator reads only the first part of a media type, and says so; metrics are for Prometheus. All else is complete.
said = generated.stdout + generated.stderr
omitted = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
assert omitted == ["WARNING parsing GET /metrics within health."], said

sys.path.insert(0, str(folder))
from casebridge_client import AuthenticatedClient, Client  # noqa: E402
from casebridge_client.api.health import check, healthz, healthz_sync  # noqa: E402
from casebridge_client.api.mappings import act_on_pairs, get_pairs, list_mappings  # noqa: E402
from casebridge_client.api.tasks import list_dead_letters, run_task  # noqa: E402
from casebridge_client.models import (  # noqa: E402
    ActionRequest,
    ActOnPairsAction,
    ListMappingsFilter,
    Problem,
    RunTaskTask,
    SyncCompanyCase,
)

client = AuthenticatedClient(base_url=URL, token="the-admin-token", raise_on_unexpected_status=True)
stranger = Client(base_url=URL, raise_on_unexpected_status=True)

assert healthz.sync(client=stranger).status == "ok"
assert healthz_sync.sync(client=stranger).status == "ok"

page = list_mappings.sync(client=client, filter_=ListMappingsFilter.OPEN, limit=10)
assert page.next_ is None and len(page.mappings) == 1, page
pair = page.mappings[0]
assert pair.company_case_key == "SUP-1" and pair.google.synced_at is not None and pair.failing is None, pair

# Every name of the case leads to it: the generated client escapes the slashes.
for name in (pair.google_case_name, pair.company_case_id, "SUP-1"):
    found = get_pairs.sync(case=name, client=client).mappings
    assert [mapping.id for mapping in found] == [pair.id], (name, found)

planned = run_task.sync(
    RunTaskTask.SYNC_COMPANY_CASE, client=client, dry_run=True, body=SyncCompanyCase(case_id=pair.company_case_id)
)
assert planned.outcome == "done" and planned.dry_run is True and "plan" in planned, planned

pause = {"client": client, "body": ActionRequest(reason="a migration")}
done = act_on_pairs.sync("SUP-1", ActOnPairsAction.PAUSE, **pause)
assert [action.id for action in done.mappings] == [pair.id], done
assert get_pairs.sync(case="SUP-1", client=client).mappings[0].operator_pause.reason == "a migration"
refused = act_on_pairs.sync("SUP-1", ActOnPairsAction.PAUSE, **pause)
assert isinstance(refused, Problem) and refused.status == 409 and "casebridge resume" in refused.detail, refused

unproven = list_mappings.sync(client=stranger)
assert isinstance(unproven, Problem) and unproven.status == 401, unproven
assert list_dead_letters.sync(client=client).dead_letters == []
assert check.sync(client=client).ok is True

print("all passed")
