"""`ablate --until-significant`: what it takes, which trials it wants, and what it has settled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resnet_cluster.errors import UsageError

if TYPE_CHECKING:
    from resnet_cluster.cluster.sweep_order import SweepOptions
    from resnet_cluster.cluster.sweep_plan import PlannedSweep
    from resnet_cluster.results import RunSummary, SweepTrial


def check_rule(planned: PlannedSweep, options: SweepOptions) -> None:
    """Refuse a sweep that no such rule can be asked of.

    Raises:
        UsageError: it has no two combinations or no two seeds, stops trials early, or measures
            no errors that could be compared.
    """
    from resnet_cluster.cluster.seed_gate import PROTOCOL, SeedGate

    gate = SeedGate(tuple(trial.record() for trial in planned.trials))
    if len(gate.groups) < 2:
        raise UsageError(
            "--until-significant compares two combinations or more, and there is one",
            mend="vary something else than the seed, such as --depths 20,56",
        )
    if max(map(len, gate.groups)) < 2:
        raise UsageError(
            "--until-significant needs several seeds of each combination",
            mend="say how many there may be, at most: --seeds 10",
        )
    if options.scheduler != "none":
        raise UsageError(
            "--until-significant needs whole trainings, and --scheduler stops them early",
            mend="leave one of them out",
        )
    for trial in planned.trials:
        if PROTOCOL not in trial.trial.loaded.spec.evaluate.protocols:
            raise UsageError(
                f"{trial.name} is not measured under {PROTOCOL}, by which pairs are settled",
                mend=f"add {PROTOCOL} to evaluate.protocols",
            )


def unwanted(trials: Sequence[SweepTrial], runs: Mapping[str, RunSummary]) -> frozenset[str]:
    """Keys of the trials that are not needed: all that are not run, where nothing is open."""
    from resnet_cluster.cluster.seed_gate import SeedGate

    state = SeedGate(tuple(trials)).look_at_runs(runs)
    return frozenset() if state.wanted else frozenset(trial.key for trial in trials)


def verdict_lines(trials: Sequence[SweepTrial], runs: Mapping[str, RunSummary]) -> Collection[str]:
    """What is settled and what is not, a line each."""
    from resnet_cluster.cluster.seed_gate import SeedGate

    gate = SeedGate(tuple(trials))
    return gate.lines(gate.look_at_runs(runs).verdict)


def verdict_object(trials: Sequence[SweepTrial], runs: Mapping[str, RunSummary]) -> dict[str, Any]:
    """The same for programs."""
    from resnet_cluster.cluster.seed_gate import SeedGate

    gate = SeedGate(tuple(trials))
    state = gate.look_at_runs(runs)
    return {
        "settled": [
            {
                "better": gate.name(pair.first),
                "worse": gate.name(pair.second),
                "difference": pair.difference,
                "num_seeds": pair.num_seeds,
                "p": pair.p,
                "level": pair.level,
            }
            for pair in state.verdict.settled
        ],
        "open": [[gate.name(first), gate.name(second)] for first, second in state.verdict.open],
        "wanted": sorted(trials[place].name for place in state.wanted),
    }
