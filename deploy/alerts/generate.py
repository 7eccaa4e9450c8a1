"""Makes the rules, the policies, the log metrics, the dashboards and the table in docs/alerts.md of alerts.toml, which says what goes where.

    python3 deploy/alerts/generate.py            writes what is out of date
    python3 deploy/alerts/generate.py --check    changes nothing; names what is out of date, and fails then
    python3 deploy/alerts/generate.py --promql   prints what the policies of App Engine ask for, as rules that promtool can test

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
# By default an alert's policy is asked this often: each point that a query returns is charged for.
STATUS_INTERVAL = "60s"
# The status entries come each minute. Those in which a rule's expression holds are counted over ten minutes, since an entry may reach a log
# metric minutes late; three stand for three minutes of the rule's `for`. They are counted over all instances, so that one instance is
# enough, as with `max` in the rules.
SEEN_WITHIN, SEEN_MORE_THAN, SEEN_AFTER = "10m", 2, 180
# An expression that compares a value.
COMPARED = re.compile(
    r"(?:(?:max|min)(?: by \((?P<label>\w+)\) )?\((?P<abs>abs\()?)?casebridge_(?P<field>\w+)(?(abs)\))(?P<checked> and CHECKED)?\)?"
    r" (?P<operator>==|[<>]) (?P<value>-?\d+)"
)
# Fields of the status entries that are about the instance; all others are about a side.
OF_SERVICE = {
    "failing_pairs", "missing_cases", "oldest_waiting_seconds", "pairs_checked_age_seconds", "pulls_answered", "pulls_failed", "starts",
    "store_up",
}
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
        self.counts = held["counts"]
        self.checked = re.fullmatch(r"\(time\(\) - casebridge_pairs_checked_timestamp_seconds < (\d+)\)", held["checked"])[1]
        spell = lambda text: text.replace("CHECKED", held["checked"]).strip("\n")
        for alert in self.alerts:
            alert["compared"] = COMPARED.fullmatch(alert["expr"].strip("\n"))
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


def promql_policy(source, alert, expr, duration, interval):
    """Returns the policy that goes by a PromQL expression. A metric need not exist yet when the policy is made."""
    return policy(source, alert, "\n".join([
        "conditions:",
        f"- displayName: {quoted('casebridge/' + alert['name'])}",
        "  conditionPrometheusQueryLanguage:",
        f"    query: {block(expr, 6)}",
        f"    duration: {duration}",
        f"    evaluationInterval: {interval}",
        "    ruleGroup: casebridge",
        f"    alertRule: {alert['name']}",
        "    disableMetricValidation: true",
    ]))


def metric_of(alert):
    """Returns the name of the log metric that counts the entries in which an alert's comparison holds: proof_old."""
    return kebab(alert["name"]).replace("-", "_")


# The names that PromQL has for log metrics, and `monitored_resource`, which it wants where a metric has several resources:
#   docs.cloud.google.com/monitoring/promql/promql-mapping
# A count is used as a Prometheus counter, and a distribution has `_sum`, as in `increase(…_sum[1h])`.
def series(name, platform, labels=""):
    """Returns the selector of a log metric."""
    return f'logging_googleapis_com:user_casebridge_{name}{{monitored_resource="{platform}"{labels}}}'


def counted(source, alert):
    """Returns the counts that an alert's expression for the platforms sums, the longest first: one may begin another."""
    expr = alert.get("status", alert["expr"])
    return sorted((count for count in source.counts if count + "[" in expr), key=len, reverse=True)


def status_policy(source, alert, platform):
    """Returns the policy that goes by the status entries: the rule's expression, over log metrics."""
    compared = alert["compared"]
    if compared and "status" not in alert:
        label = {"system": "upstream"}.get(compared["label"], compared["label"])
        by = f" by ({label}) " if label else ""
        expr = f"sum{by}(increase({series(metric_of(alert), platform)}[{SEEN_WITHIN}])) > {SEEN_MORE_THAN}"
        duration = f"{max(0, int(seconds(alert['for'])[:-1]) - SEEN_AFTER)}s"
    else:
        expr, duration = alert.get("status", alert["expr"]), seconds(alert["for"])
        for count in counted(source, alert):
            expr = expr.replace(count + "[", series(source.counts[count] + "_sum", platform) + "[")
        expr = re.sub(r"\bcasebridge_tasks_total\{([^}]*)\}", lambda found: series("tasks", platform, "," + found[1]), expr)
        if re.search(r"(?<!user_)casebridge_|STARTS", expr):
            sys.exit(f"{alert['name']}: {expr!r} is of neither form that alerts.toml describes: give it `status`, `logs` or `nowhere`")
    return promql_policy(source, alert, expr, duration, STATUS_INTERVAL)


def log_metric(name, description, condition, field, labels):
    """Returns a metric of the status entries: the sum of a field, or without one the number of entries in which the condition holds."""
    lines = [
        f"{HEAD}#",
        f"#   gcloud logging metrics create casebridge_{name} --config-from-file=deploy/alerts/log-metrics/{name}.yaml",
        f"description: {quoted(description)}",
        f"filter: resource.type=({' OR '.join(quoted(platform) for platform in PLATFORMS.values())}) AND {condition}",
    ]
    if field:
        # Only the sum is used, so any buckets do.
        lines += [f"valueExtractor: EXTRACT(jsonPayload.status.{field})", "bucketOptions:"]
        lines += ["  exponentialBuckets: {numFiniteBuckets: 8, growthFactor: 4, scale: 1}"]
    if labels:
        lines += ["labelExtractors:"] + [f"  {label}: EXTRACT(jsonPayload.{label})" for label in labels]
    lines += ["metricDescriptor:", "  metricKind: DELTA", f"  valueType: {'DISTRIBUTION' if field else 'INT64'}"]
    if labels:
        lines += ["  labels:"] + [f"  - key: {label}" for label in labels]
    return "\n".join(lines) + "\n"


# Filters, extractors and distributions of log metrics:
#   docs.cloud.google.com/logging/docs/logs-based-metrics/distribution-metrics
#   docs.cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics
# A number below 0 stands in quotation marks, as the query language wants for text with special characters; it is converted to the field's
# type: docs.cloud.google.com/logging/docs/view/logging-query-language, …/troubleshoot-lql
def log_metrics(source):
    """Returns the log metrics of the status entries, by name. Most have points only while something is wrong, for points are paid for."""
    made = {"status": log_metric("status", "Status entries of casebridge", "jsonPayload.status.store_up:*", None, [])}
    labels_of = lambda field: [] if field in OF_SERVICE else ["side", "upstream"]
    for alert in source.alerts:
        compared = alert["compared"]
        if not is_by_status(alert):
            continue
        if compared and "status" not in alert:
            field, value = compared["field"], int(compared["value"])
            path = f"jsonPayload.status.{field}"
            condition = f"{path}{compared['operator'].replace('==', '=')}" + (str(value) if value >= 0 else f'"{value}"')
            if compared["abs"]:
                condition = f'({condition} OR {path}<"-{value}")'
            if compared["checked"]:
                condition += f" AND jsonPayload.status.pairs_checked_age_seconds<{source.checked}"
            what = f"Status entries of casebridge that say: {alert['when']}"
            made[metric_of(alert)] = log_metric(metric_of(alert), what, condition, None, labels_of(field))
        for count in counted(source, alert):
            field = source.counts[count]
            what = f"Sum of {field} in the status entries of casebridge"
            made[field] = log_metric(field, what, f"jsonPayload.status.{field}>0", field, labels_of(field))
    return made


def is_by_status(alert):
    """Returns true if the alert's policies on the platforms go by the status entries."""
    return "logs" not in alert and "nowhere" not in alert


def log_policy(source, alert, platform):
    """Returns the policy that goes by conditions of its own, over entries of tasks or what the platform measures."""
    held = alert["logs"] if isinstance(alert["logs"], list) else [alert["logs"]]
    conditions = "conditions:"
    for text in held:
        lines = text.replace("RESOURCE", platform).strip("\n").split("\n")
        remarks = [line for line in lines if line.startswith("#")]
        condition = [line for line in lines if not line.startswith("#")]
        conditions = "\n".join([conditions] + remarks + [f"- {condition[0]}"] + [f"  {line}" for line in condition[1:]])
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
    lines = ["| alert | severity | tells that | after | on App Engine and Cloud Run |", "| --- | --- | --- | --- | --- |"]
    for alert in source.alerts:
        file = f"`{kebab(alert['name'])}.yaml`" + (", status" if is_by_status(alert) else "")
        file = f"no: {alert['nowhere']}" if "nowhere" in alert else file
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
        made[HERE / "managed-prometheus" / name] = promql_policy(
            source, alert, alert["expr"], seconds(alert["for"]), seconds(source.interval)
        )
        if "nowhere" not in alert:
            for folder, platform in PLATFORMS.items():
                made[HERE / folder / name] = (status_policy if is_by_status(alert) else log_policy)(source, alert, platform)
    for name, text in log_metrics(source).items():
        made[HERE / "log-metrics" / f"{name}.yaml"] = text
    return made


def promql(source):
    """Returns the PromQL of App Engine's policies as a file of rules for Prometheus."""
    lines = ["groups:", "- name: casebridge", "  rules:"]
    for alert in filter(is_by_status, source.alerts):
        made = status_policy(source, alert, PLATFORMS["app-engine"])
        query = textwrap.dedent(made.split("    query: |-\n")[1].split("\n    duration:")[0])
        duration = made.split("\n    duration: ")[1].split("\n")[0]
        lines += [f"  - alert: {alert['name']}", f"    expr: {block(query, 6)}", f"    for: {duration}"]
    return "\n".join(lines) + "\n"


def main(check):
    made = generate(Source(HERE / "alerts.toml"))
    there = {path for folder in ("managed-prometheus", "log-metrics", *PLATFORMS) for path in (HERE / folder).glob("*")}
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
    if sys.argv[1:] == ["--promql"]:
        print(promql(Source(HERE / "alerts.toml")), end="")
        sys.exit()
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    main("--check" in sys.argv)
