"""Reads the alert policies, the dashboard and the log metrics as gcloud does, and prints what Google's own messages do not know, as JSON.

    alert_policies.py SDK_ROOT PROJECT_FOLDER
"""

import json
import os
import sys


def main(sdk, folder):
    sys.path[:0] = [os.path.join(sdk, "lib"), os.path.join(sdk, "lib", "third_party")]
    from apitools.base.py import encoding
    from googlecloudsdk.core import yaml
    from googlecloudsdk.generated_clients.apis.logging.v2 import logging_v2_messages as logging
    from googlecloudsdk.generated_clients.apis.monitoring.v1 import monitoring_v1_messages as dashboards
    from googlecloudsdk.generated_clients.apis.monitoring.v3 import monitoring_v3_messages as monitoring

    alerts = os.path.join(folder, "deploy", "alerts")
    files = [(os.path.join(alerts, "dashboard.json"), dashboards.Dashboard)]
    for platform in ("app-engine", "cloud-run", "managed-prometheus"):
        names = sorted(os.listdir(os.path.join(alerts, platform)))
        files += [(os.path.join(alerts, platform, name), monitoring.AlertPolicy) for name in names]
    for name in ("log-metric.yaml", "unannounced-metric.yaml"):
        files.append((os.path.join(folder, "deploy", name), logging.LogMetric))
    metrics = os.path.join(alerts, "log-metrics")
    files += [(os.path.join(metrics, name), logging.LogMetric) for name in sorted(os.listdir(metrics))]
    unknown = {}
    for path, message in files:
        understood = encoding.DictToMessage(yaml.load_path(path), message)
        understood.check_initialized()
        unknown[os.path.relpath(path, folder)] = [
            ".".join(str(edge.field) for edge in edges) + ": " + ", ".join(fields)
            for edges, fields in encoding.UnrecognizedFieldIter(understood)
        ]
    print(json.dumps(unknown))


if __name__ == "__main__":
    main(*sys.argv[1:])
