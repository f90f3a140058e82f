"""Judge a deployment's queues and triggerers: whether somebody serves them, in the right interpreter."""

from __future__ import annotations

import json

from envman.deployment.facts import Facts
from envman.deployment.finding import Found, Level
from envman.errors import Problem


def queue_findings(facts: Facts) -> Found:
    """Queues that bundles of several environments share, and those that fall back to a component."""
    answers = facts.snapshot.answers().environments
    declared: dict[str, dict[str, str]] = {}
    for bundle, environment in answers.items():
        if queue := facts.snapshot.queue(bundle):
            declared.setdefault(queue, {})[bundle] = environment
    used: dict[str, dict[str, str]] = {queue: dict(bundles) for queue, bundles in declared.items()}
    for bundle, queue in facts.database.queues if facts.database else ():
        if queue in used and bundle in answers:
            used[queue][bundle] = answers[bundle]
    for queue, bundles in used.items():
        if len(set(bundles.values())) > 1:
            listed = ", ".join(
                f"{bundle} in {environment}" for bundle, environment in sorted(bundles.items())
            )
            what = f"bundles of several environments share it: {listed}"
            remedy = "Give each a queue of its own, or serve it by a shared one alone: envman launch worker"
            yield Level.WARNING, Problem(f"queue '{queue}'", what, remedy)
    yield from _fallen_back(facts)


def _fallen_back(facts: Facts) -> Found:
    """Airflow runs the tasks of a queue that its map does not name in the component's own interpreter."""
    if "envman" not in facts.airflow.coordinators:
        return
    mapped = _mapped(facts.airflow.queue_map)
    used = {queue for _, queue in facts.database.queues} if facts.database else set()
    missing = sorted(used - mapped)
    what = "stock components run the tasks of every queue that it does not name in their own interpreter"
    if missing:
        what += f"; tasks use {', '.join(missing)}"
    remedy = "Start the components with `envman launch`, which leaves no such queue, or name every queue."
    yield Level.WARNING, Problem("[sdk] queue_to_coordinator", what, remedy)


def _mapped(text: str) -> set[str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):  # Airflow refuses it, too
        return set()
    return set(found) if isinstance(found, dict) else set()


def triggerer_findings(facts: Facts) -> Found:
    """Triggers that nobody takes, or would take."""
    if facts.database is None:
        return
    for item in facts.database.triggers:
        if item.waiting:
            team = f"of the team '{item.team}' " if item.team else ""
            what = f"{item.waiting} of {item.all} triggers {team}wait, and no living triggerer takes them"
            own = f"; or one of its own: envman launch triggerer --team {item.team}" if item.team else ""
            yield (
                Level.ERROR,
                Problem("triggerer", what, f"Run one for all bundles: envman launch triggerer{own}"),
            )
    if not facts.database.triggerers and not any(item.waiting for item in facts.database.triggers):
        what = "none is running; the first deferred task would wait for ever"
        yield Level.WARNING, Problem("triggerer", what, "Run: envman launch triggerer")
