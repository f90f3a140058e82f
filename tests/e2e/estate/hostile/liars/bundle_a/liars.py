"""Tasks, a callback and triggers that lie."""

import json
import os
from datetime import timedelta

from airflow.sdk import DAG, BaseOperator, DeadlineAlert, DeadlineReference, SyncCallback, task
from lie import Lies, alert, lie

NAMES = json.loads(os.environ["E2E_LIARS"])
SOON = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(seconds=1),
    callback=SyncCallback(alert, {"name": "0"}),
)


class Defers(BaseOperator):
    def __init__(self, name, **options):
        super().__init__(**options)
        self.name = name

    def execute(self, context):
        self.defer(trigger=Lies(self.name), method_name="resumed")

    def resumed(self, context, event=None):
        return event


with DAG("liars", schedule=None, deadline=SOON):

    @task
    def lying(name):
        lie("task", name)

    lying.expand(name=NAMES)
    for name in NAMES[:3]:
        Defers(task_id=f"defers_{name}", name=name)
