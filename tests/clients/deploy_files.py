"""Reads app.yaml, cron.yaml and queue.yaml with App Engine's own parsers and prints what they understood, as JSON.

    deploy_files.py SDK_ROOT PROJECT_FOLDER
"""

import datetime
import json
import os
import sys


def main(sdk, folder):
    tree = os.path.join(sdk, "platform", "google_appengine")
    if not os.path.isdir(tree):
        sys.exit(f"{tree} is missing: install the Cloud SDK's App Engine component (app-engine-python)")
    libraries = os.path.join(tree, "lib")
    # antlr3 is for Python 2 and hides py3_antlr3, without which schedules are not parsed at all.
    sys.path[:0] = [tree] + [os.path.join(libraries, name) for name in sorted(os.listdir(libraries)) if name != "antlr3"]
    from google.appengine.api import appinfo, croninfo, queueinfo
    from google.appengine.cron import groc, groctimespecification

    def read(name):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()

    app = appinfo.LoadSingleAppInfo(read("app.yaml"))
    cron = croninfo.LoadSingleCron(read("cron.yaml"))
    queues = queueinfo.LoadSingleQueue(read("queue.yaml"))

    midnight = datetime.datetime(2026, 3, 1)
    # The schedules are parsed, not only taken for texts: a wrong one is refused.
    try:
        groctimespecification.GrocTimeSpecification("every now and then")
    except groc.GrocException:
        pass
    else:
        sys.exit("schedules are not parsed here")

    def retries(queue):
        given = queue.retry_parameters
        names = ("task_retry_limit", "task_age_limit", "min_backoff_seconds", "max_backoff_seconds", "max_doublings")
        values = {name: getattr(given, name) for name in names}
        age = values["task_age_limit"]
        values["task_age_limit"] = None if age is None else int(queueinfo.ParseTaskAgeLimit(age))
        return values

    print(json.dumps({
        "app": {
            "runtime": app.runtime,
            "env": app.env,
            "instances": app.manual_scaling.instances,
            "resources": {name: getattr(app.resources, name) for name in ("cpu", "memory_gb", "disk_size_gb")},
            "liveness_check": app.liveness_check.ToDict(),
            "readiness_check": app.readiness_check.ToDict(),
            "env_variables": dict(app.env_variables),
        },
        "cron": [
            {
                "url": job.url,
                # The first three runs after a midnight, in seconds after it, as Google's scheduler chooses them.
                "runs": [
                    (time - midnight).total_seconds()
                    for time in groctimespecification.GrocTimeSpecification(job.schedule).GetMatches(midnight, 3)
                ],
                "description": job.description,
            }
            for job in cron.cron
        ],
        "queues": [
            {
                "name": queue.name,
                "per_second": queueinfo.ParseRate(queue.rate),
                "bucket_size": queue.bucket_size,
                "max_concurrent_requests": queue.max_concurrent_requests,
                "retry_parameters": retries(queue),
            }
            for queue in queues.queue
        ],
    }))


if __name__ == "__main__":
    main(*sys.argv[1:])
