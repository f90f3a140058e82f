"""Tasks and a trigger of a team that has nothing to do with the liars."""

from airflow.sdk import DAG, BaseOperator, task
from wait import Waits


class Defers(BaseOperator):
    def execute(self, context):
        self.defer(trigger=Waits(), method_name="resumed")

    def resumed(self, context, event=None):
        return event


with DAG("honest", schedule=None):

    @task
    def says(number):
        return number

    says.expand(number=[1, 2, 3]) >> Defers(task_id="defers")
