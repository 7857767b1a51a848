"""What becomes of the grids that a checkpoint's weights lie on already: kept exactly, or rounded again, layer by layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from sdk.models import Layer, Model
from sdk.planning import Plan
from sdk.rounding import recognise
from sdk.schemes import Scheme, scheme_named

KEPT, LOST = "keeps its own grid exactly", "rounds its own grid again"


def own_grids(model: Model) -> dict[str, str]:
    """Layer → the grid that all its weights lie on, in words; without layers that lie on none."""
    module, found = model.module(), {}
    for layer in model.inventory.layers:
        said = {recognise(module.get_parameter(name), layer.channel_axis) for name in layer.weights}
        if len(said) == 1 and None not in said:
            found[layer.name] = str(said.pop())
    return found


def with_own_grids(plan: Plan, model: Model, grids: Mapping[str, str], holds: Callable[[Layer, Scheme], bool]) -> Plan:
    """Return `plan` with the reason of every layer of `grids` saying whether its scheme `holds` that grid."""
    if not grids:
        return plan
    lines = []
    for line in plan.layers:
        grid = grids.get(line.layer)
        if grid is not None and not line.reason.startswith((KEPT, LOST)):
            kept = holds(model.inventory[line.layer], scheme_named(line.scheme))
            said = f"{KEPT if kept else LOST} ({grid})"
            line = line.model_copy(update={"reason": f"{said}; {line.reason}" if line.reason else said})
        lines.append(line)
    return plan.model_copy(update={"layers": tuple(lines)})


def grid_notes(plan: Plan, grids: Mapping[str, str]) -> list[str]:
    """Say for each kind of grid how many layers keep it exactly in `plan`, and what the others are."""
    reasons = {line.layer: line.reason for line in plan.layers}
    notes = []
    for grid, count in sorted(Counter(grids.values()).items()):
        mine = [reasons[name] for name, said in grids.items() if said == grid and name in reasons]
        kept = sum(reason.startswith(KEPT) for reason in mine)
        again = f"; {count - kept} are rounded again, since their scheme does not hold it" if kept < count else ""
        layers = "1 layer lies" if count == 1 else f"{count} layers lie"
        notes.append(f"{layers} on a grid of {grid} already: {kept} keep it exactly{again}")
    return notes
