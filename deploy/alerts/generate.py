"""Makes the rules, the policies, the dashboards and the table in docs/alerts.md of alerts.toml, which says what goes where.

    python3 deploy/alerts/generate.py            writes what is out of date
    python3 deploy/alerts/generate.py --check    changes nothing; names what is out of date, and fails then

Needs Python 3.11, and nothing else.
"""

import json
import pathlib
import re
import sys
import textwrap
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HEAD = "# Made of deploy/alerts/alerts.toml by deploy/alerts/generate.py. Change that file and run it again.\n"
# Where nothing reads /metrics: the folder of the policies, and the name that Cloud Logging and Cloud Monitoring have for the platform.
PLATFORMS = {"app-engine": "gae_app", "cloud-run": "cloud_run_revision"}
TABLE = ("<!-- made by deploy/alerts/generate.py -->\n", "<!-- end -->\n")


def quoted(text):
    """Returns the text as a double-quoted scalar; JSON's are YAML's."""
    return json.dumps(text, ensure_ascii=False)


def block(text, indent):
    """Returns the text as a block scalar whose lines are indented by so many spaces."""
    return "|-\n" + textwrap.indent(text.strip("\n"), " " * indent)


def seconds(duration):
    """Returns a duration of Prometheus such as 5m as Google writes it: 300s."""
    number, unit = re.fullmatch(r"(\d+)([smhd])", duration).groups()
    return f"{int(number) * {'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[unit]}s"


def kebab(name):
    """Returns the name of an alert's file: CasebridgeNotPolled is in not-polled.yaml."""
    return "-".join(re.findall("[A-Z][a-z]+", name)[1:]).lower()


class Source:
    """What alerts.toml holds, with its abbreviation spelt out."""

    def __init__(self, path):
        held = tomllib.loads(path.read_text(encoding="utf-8"))
        self.interval = held["interval"]
        self.runbook = held["runbook"]
        self.alerts = held["alert"]
        self.panels = held["panel"]
        spell = lambda text: text.replace("CHECKED", held["checked"]).strip("\n")
        for alert in self.alerts:
            alert["expr"] = spell(alert["expr"])
        for panel in self.panels:
            for query in panel["queries"]:
                query["expr"] = spell(query["expr"])

    def section(self, alert):
        return f"{self.runbook}#{alert['name'].lower()}"


def sentence(text):
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def rules(source):
    """Returns the file of alerting rules for Prometheus."""
    lines = [HEAD + "groups:", "- name: casebridge", f"  interval: {source.interval}", "  rules:"]
    for alert in source.alerts:
        lines += [
            f"  - alert: {alert['name']}",
            f"    expr: {block(alert['expr'], 6)}",
            f"    for: {alert['for']}",
            f"    labels: {{severity: {alert['severity']}}}",
            "    annotations:",
            f"      summary: {quoted(sentence(alert['when']))}",
            f"      description: {quoted(alert['do'])}",
            f"      page: {quoted(alert['page'])}",
            f"      runbook_url: {quoted(source.section(alert))}",
        ]
    return "\n".join(lines) + "\n"


def policy(source, alert, conditions, strategy=""):
    """Returns a policy of Cloud Monitoring."""
    content = f"{sentence(alert['when'])}\n\n{alert['do']}\n\nOn the service's page: `{alert['page']}`. More: {source.section(alert)}"
    return (
        f"{HEAD}displayName: {quoted('casebridge: ' + alert['name'])}\n"
        f"combiner: OR\nseverity: {alert['severity'].upper()}\n{conditions.rstrip()}\n{strategy}"
        f"documentation:\n  mimeType: text/markdown\n  content: {block(content, 4)}\n"
    )


def promql_policy(source, alert):
    """Returns the policy that goes by the rule's own expression. A metric need not exist yet when the policy is made."""
    return policy(source, alert, "\n".join([
        "conditions:",
        f"- displayName: {quoted('casebridge/' + alert['name'])}",
        "  conditionPrometheusQueryLanguage:",
        f"    query: {block(alert['expr'], 6)}",
        f"    duration: {seconds(alert['for'])}",
        f"    evaluationInterval: {seconds(source.interval)}",
        "    ruleGroup: casebridge",
        f"    alertRule: {alert['name']}",
        "    disableMetricValidation: true",
    ]))


def log_policy(source, alert, platform):
    """Returns the policy that needs nobody who reads /metrics."""
    lines = alert["logs"].replace("RESOURCE", platform).strip("\n").split("\n")
    remarks = [line for line in lines if line.startswith("#")]
    condition = [line for line in lines if not line.startswith("#")]
    conditions = "\n".join(remarks + ["conditions:", f"- {condition[0]}"] + [f"  {line}" for line in condition[1:]])
    strategy = ""
    if "conditionMatchedLog:" in condition:
        # Google wants a limit for these. What goes on is an entry every five minutes, and a message a day; it ends an hour after the last.
        period = alert.get("log_period", "86400s")
        close = "86400s" if "log_period" in alert else "3600s"
        strategy = f"alertStrategy:\n  notificationRateLimit:\n    period: {period}\n  autoClose: {close}\n"
    return policy(source, alert, conditions, strategy)


def rows(source):
    """Returns the panels by row, in their order."""
    found = {}
    for panel in source.panels:
        found.setdefault(panel["row"], []).append(panel)
    return found


def grafana(source):
    """Returns the dashboard for Grafana: four panels beside each other, under the title of their row."""
    prometheus = {"type": "prometheus", "uid": "${datasource}"}
    panels, number, y = [], 0, 0
    for title, row in rows(source).items():
        number += 1
        panels.append({
            "id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
        })
        y += 1
        for place, panel in enumerate(row):
            number += 1
            panels.append({
                "id": number, "type": "timeseries", "title": panel["title"], "datasource": prometheus,
                "gridPos": {"h": 8, "w": 6, "x": place % 4 * 6, "y": y + place // 4 * 8},
                "fieldConfig": {"defaults": {"unit": panel["unit"], "custom": {"fillOpacity": 10}}, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}},
                "targets": [
                    {"refId": chr(ord("A") + at), "expr": query["expr"], "legendFormat": query["legend"], "datasource": prometheus}
                    for at, query in enumerate(panel["queries"])
                ],
            })
        y += 8 * ((len(row) + 3) // 4)
    return {
        "uid": "casebridge", "title": "casebridge", "tags": ["casebridge"], "schemaVersion": 39, "version": 1, "editable": True,
        "time": {"from": "now-24h", "to": "now"}, "refresh": "1m", "timezone": "",
        "templating": {"list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }


def cloud_dashboard(source):
    """Returns the same dashboard for Cloud Monitoring, whose grid has 48 columns."""
    tiles, y = [], 0
    for title, row in rows(source).items():
        tiles.append({"yPos": y, "width": 48, "height": 4, "widget": {"title": title, "sectionHeader": {"dividerBelow": True}}})
        y += 4
        for place, panel in enumerate(row):
            sets = [{"timeSeriesQuery": {"prometheusQuery": query["expr"]}, "plotType": "LINE"} for query in panel["queries"]]
            tiles.append({
                "xPos": place % 4 * 12, "yPos": y + place // 4 * 16, "width": 12, "height": 16,
                "widget": {"title": panel["title"], "xyChart": {"dataSets": sets}},
            })
        y += 16 * ((len(row) + 3) // 4)
    return {"displayName": "casebridge", "mosaicLayout": {"columns": 48, "tiles": tiles}}


def table(source):
    """Returns the table of docs/alerts.md."""
    lines = ["| alert | severity | tells that | after | by log entries |", "| --- | --- | --- | --- | --- |"]
    for alert in source.alerts:
        file = f"`{kebab(alert['name'])}.yaml`" if "logs" in alert else ""
        after = "at once" if alert["for"] == "0s" else alert["for"]
        lines.append(
            f"| [{alert['name']}](#{alert['name'].lower()}) | {alert['severity']} | {alert['when']} | {after} | {file} |"
        )
    return "\n".join(lines) + "\n"


def with_table(page, made):
    """Returns the page with this table between its two marks."""
    before, rest = page.split(TABLE[0])
    return before + TABLE[0] + "\n" + made + "\n" + TABLE[1] + rest.split(TABLE[1])[1]


def generate(source):
    """Returns each file that is made, with its text."""
    page = ROOT / "docs" / "alerts.md"
    made = {
        ROOT / "deploy" / "prometheus" / "casebridge.rules.yml": rules(source),
        ROOT / "deploy" / "grafana" / "casebridge.json": json.dumps(grafana(source), indent=2) + "\n",
        HERE / "dashboard.json": json.dumps(cloud_dashboard(source), indent=2) + "\n",
        page: with_table(page.read_text(encoding="utf-8"), table(source)),
    }
    for alert in source.alerts:
        name = kebab(alert["name"]) + ".yaml"
        made[HERE / "managed-prometheus" / name] = promql_policy(source, alert)
        if "logs" in alert:
            for folder, platform in PLATFORMS.items():
                made[HERE / folder / name] = log_policy(source, alert, platform)
    return made


def main(check):
    made = generate(Source(HERE / "alerts.toml"))
    there = {path for folder in ("managed-prometheus", *PLATFORMS) for path in (HERE / folder).glob("*")}
    differing = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    left_over = sorted(there - made.keys())
    for path in differing + left_over:
        print(path.relative_to(ROOT))
    if check:
        if differing or left_over:
            sys.exit("out of date: run python3 deploy/alerts/generate.py")
        return
    for path in differing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
    for path in left_over:
        path.unlink()


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    main("--check" in sys.argv)
