"""A plan as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xnas_core.cli.planning import SIZES, Plan, confirming_trainings
from xnas_core.cli.tables import fits, pairs
from xnas_core.report.numbers import UNKNOWN, duration, grouped, number, plural, size


def print_plan(console: Console, plan: Plan) -> None:
    """Write the plan."""
    console.print(plan.name, style="bold")
    console.print(pairs(console, _facts(plan)))
    console.print()
    _print_networks(console, plan)
    console.print()
    console.print(pairs(console, _totals(plan)))


def _facts(plan: Plan) -> dict[str, str]:
    survey, spec = plan.survey, plan.spec
    facts = {"space": f"{spec.search_space.name}, {_many(survey.size)} encodings"}
    if survey.networks is not None:
        facts["space"] += f", {_many(survey.networks)} different connected networks"
    elif survey.connected_share < 1:
        facts["space"] += f", {survey.connected_share:.0%} of them connected"
    if plan.data is not None:
        shape = f"{plan.shape.channels} x {plan.shape.height} x {plan.shape.width}"
        facts["data"] = (
            f"{(spec.dataset and spec.dataset.name) or 'of your own'}: {shape}, {plan.shape.classes} classes, "
            f"{grouped(plan.data.train)} to train, {grouped(plan.data.validation)} to score, "
            f"{grouped(plan.data.test)} to test"
        )
    elif spec.benchmark is not None:
        facts["data"] = f"none: the table {spec.benchmark.table} answers"
    else:
        facts["data"] = "none: objectives come from the graph"
    facts["objectives"] = ", ".join(f"{o.name} ({o.direction.value})" for o in spec.objectives)
    return facts


def _print_networks(console: Console, plan: Plan) -> None:
    columns = {"network": list(SIZES)}
    networks = [plan.network(name) for name in SIZES]
    columns["parameters"] = [number(network.parameters) for network in networks]
    columns["macs"] = [number(network.macs) for network in networks]
    if plan.measured is not None:
        costs = [plan.measured.costs[name] for name in SIZES]
        columns["training"] = [duration(cost.train_seconds) for cost in costs]
        columns["scoring"] = [duration(cost.metrics_seconds) for cost in costs]
        if plan.spec.explanations.scope.value != "none":
            columns["explaining"] = [duration(cost.explain_seconds) for cost in costs]
        columns["memory"] = [size(cost.memory_bytes) for cost in costs]
        if any(cost.device_memory_bytes is not None for cost in costs):
            columns["GPU memory"] = [size(cost.device_memory_bytes or 0) for cost in costs]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(Text(cell) for cell in row))
    if fits(console, table):
        console.print(table)
        return
    for place, title in enumerate(SIZES):
        console.print(title, style="bold")
        for name, values in list(columns.items())[1:]:
            console.print(f"  {name} {values[place]}")


def _totals(plan: Plan) -> dict[str, str]:
    totals = {}
    if plan.measured is not None:
        where = f"{plan.measured.device}, {plural(plan.measured.threads, 'thread')} a worker"
        totals["measured on"] = f"this machine: {where}"
    if plan.evaluations is not None:
        totals["evaluations"] = f"at most {grouped(plan.evaluations)}, {grouped(plan.slots)} at a time"
    else:
        totals["evaluations"] = f"no limit on their number, {grouped(plan.slots)} at a time"
    again = confirming_trainings(plan.spec, plan.evaluations)
    if again is None or again > 0:
        about = f"about {plural(again, 'more training')}" if again is not None else "more trainings"
        seeds = plan.spec.confirmation.seeds if plan.spec.confirmation is not None else 0
        totals["confirmation"] = f"{about}: the final front again, with {plural(seeds, 'other seed')}"
    if plan.seconds is not None and plan.longest_seconds is not None:
        totals["whole search"] = (
            f"about {duration(plan.seconds)} (networks like the median); "
            f"{duration(plan.longest_seconds)} if all were the largest"
        )
    elif plan.spec.dataset is None:
        totals["whole search"] = "seconds to minutes: nothing is trained"
    else:
        totals["whole search"] = UNKNOWN + (": the limits do not say" if plan.measured else ": not measured")
    deadline = plan.spec.limits.active_deadline_seconds
    if deadline is not None:
        totals["deadline"] = duration(deadline)
    totals["disk"] = f"about {size(plan.disk_bytes)}" if plan.disk_bytes is not None else UNKNOWN
    return totals


def _many(count: int) -> str:
    return grouped(count) if count < 1e12 else f"{count:.2e}"
