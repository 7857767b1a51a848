"""Writes the operators that stand for a key-value cache as MIL: states that are read, updated and attended over."""

from __future__ import annotations

from typing import Any


def cached_attention(context: Any, node: Any) -> None:
    """`snugfit::cached_attention`: write keys and values before `end`, then attend over everything before `end`."""
    from coremltools.converters.mil import Builder as mb

    query, key, value, mask = (context[name] for name in node.inputs[:4])
    layer = node.inputs[6]
    context.torch_graph.output_name_to_target_buffer_name.clear()  # coremltools would write the whole state again at the end
    kept = [_kept(context, name, part, mask, layer) for name, part in zip(node.inputs[4:6], (key, value), strict=True)]
    times = query.shape[1] // key.shape[1]
    wide = [_repeated(part, times) for part in kept]
    made = mb.scaled_dot_product_attention(query=query, key=wide[0], value=wide[1], attn_mask=mask, name=node.name)
    context.add(made)


def rows(context: Any, node: Any) -> None:
    """`snugfit::rows`: the entries along an axis that belong to the tokens' positions."""
    from coremltools.converters.mil import Builder as mb

    table, mask, axis = context[node.inputs[0]], context[node.inputs[1]], node.inputs[2]
    begin, end = _span(mask)
    rank = len(table.shape)
    whole = [i != axis for i in range(rank)]
    made = mb.slice_by_index(
        x=table, begin=_at(begin, axis, rank), end=_at(end, axis, rank), begin_mask=whole, end_mask=whole, name=node.name
    )
    context.add(made)


def _kept(context: Any, name: str, part: Any, mask: Any, layer: int) -> Any:
    """Update one state with this layer's `part` [1, heads, n, dim]; return [1, heads, end, dim] of it."""
    from coremltools.converters.mil import Builder as mb

    begin, end = _span(mask)
    state = context.name_to_source_state[name]
    heads = [False, True, False, True]
    first = _joined([layer], [0], begin, [0])
    last = _joined([layer + 1], [0], end, [0])
    half = mb.slice_update(
        x=mb.cast(x=context[name], dtype="fp16"), update=mb.cast(x=part, dtype="fp16"), begin=first, end=last,
        begin_mask=heads, end_mask=heads,
    )
    whole = mb.cast(x=mb.coreml_update_state(state=state, value=half), dtype="fp32")
    context.add(whole, torch_name=name, override=True)
    return mb.slice_by_index(
        x=whole, begin=[layer, 0, 0, 0], end=last, begin_mask=[False, True, True, True], end_mask=heads
    )


def _repeated(part: Any, times: int) -> Any:
    """[1, heads, end, dim] with each head `times` behind one another, as grouped queries see them."""
    from coremltools.converters.mil import Builder as mb

    if times == 1:
        return part
    tiled = mb.tile(x=mb.expand_dims(x=part, axes=[2]), reps=[1, 1, times, 1, 1])
    return mb.reshape(x=tiled, shape=[1, part.shape[1] * times, -1, part.shape[3]])


def _span(mask: Any) -> tuple[Any, Any]:
    """Positions of the first token and behind the last one, each [1], from the mask's extents [1, 1, n, end]."""
    from coremltools.converters.mil import Builder as mb

    shape = mb.shape(x=mask)
    end = mb.slice_by_size(x=shape, begin=[3], size=[1])
    return mb.sub(x=end, y=mb.slice_by_size(x=shape, begin=[2], size=[1])), end


def _at(position: Any, axis: int, rank: int) -> Any:
    return _joined(*(position if i == axis else [0] for i in range(rank)))


def _joined(*parts: Any) -> Any:
    import numpy as np
    from coremltools.converters.mil import Builder as mb

    return mb.concat(values=[np.array(p, np.int32) if isinstance(p, list) else p for p in parts], axis=0)
