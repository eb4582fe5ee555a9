"""The paper's claims as grids of text, and as objects for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from resnet_cluster.report.claim_commands import Plan
from resnet_cluster.report.claim_wording import (
    NOTES,
    effect_text,
    part_text,
    published_effect_text,
    seeds_text,
    verdict_text,
)
from resnet_cluster.report.claims import Part
from resnet_cluster.report.lines import Grid, Line
from resnet_cluster.report.verdicts import Finding, Judged

SCHEMA_VERSION = 1
"""Within a version keys are only added."""


def claims_grid(claims: Sequence[Judged]) -> Grid:
    """Each claim with its verdict, its parts beneath it."""
    return Grid(
        title="Claims of the paper",
        header=("claim", "published", "ours", "n", "verdict"),
        lines=tuple(line for judged in claims for line in _lines(judged)),
        num_left=1,
        notes=NOTES,
    )


def _lines(judged: Judged) -> Iterator[Line]:
    claim = judged.claim
    yield Line(cells=(f"{claim.number}. {claim.says}", "", "", "", judged.verdict.value))
    for finding in judged.findings:
        yield Line(
            cells=(
                part_text(finding.part),
                published_effect_text(finding),
                effect_text(finding),
                seeds_text(finding),
                verdict_text(finding),
            ),
            run_ids=run_ids(finding),
            is_beneath=True,
        )


def plan_grids(plan: Plan) -> tuple[Grid, ...]:
    """The commands that bring what is missing; nothing where no claim is open."""
    lines = tuple(
        Line(cells=(each.net.name, command), command=command)
        for each in plan.needed
        for command in each.commands
    )
    if not lines:
        return ()
    grid = Grid(
        title="Evidence that open claims need",
        header=("network", ""),
        lines=lines,
        num_left=1,
        preparation=" && ".join(plan.preparations),
    )
    return (grid,)


def run_ids(finding: Finding) -> tuple[str, ...]:
    """The runs behind a number, net by net."""
    return tuple(one.run_id for sample in finding.samples for one in sample)


def claim_objects(claims: Sequence[Judged], plan: Plan) -> list[dict[str, Any]]:
    """One object a claim."""
    commands = {each.net: list(each.commands) for each in plan.needed}
    return [
        {
            "schema_version": SCHEMA_VERSION,
            "claim": judged.claim.number,
            "says": judged.claim.says,
            "verdict": judged.verdict.value,
            "parts": [_part_object(finding) for finding in judged.findings],
            "needed": [
                {"model": net.name, "seeds": seeds, "commands": commands.get(net, [])}
                for net, seeds in judged.needed
            ],
        }
        for judged in claims
    ]


def _part_object(finding: Finding) -> dict[str, Any]:
    part = finding.part
    return {
        "says": part_text(part),
        "measure": part.measure.value if isinstance(part, Part) else None,
        "models": [net.name for net in part.nets] if isinstance(part, Part) else [],
        "published": part.published if isinstance(part, Part) else None,
        "effect": finding.effect,
        "interval": finding.interval and list(finding.interval),
        "n": [len(sample) for sample in finding.samples],
        "verdict": finding.verdict.value,
        "run_ids": list(run_ids(finding)),
    }
