"""The graph rewrites of normalising, each exact: what one function of the list `RULES` does to a GraphModule."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from sdk.models.assigned import plain_assignments
from sdk.models.bags import plain_bags
from sdk.models.calls import call_before, metadata_of
from sdk.models.cells import plain_cells, replace_outputs
from sdk.models.constants import drop_idle_masks, fold_constants, store_indices
from sdk.models.cubes import plain_cubes
from sdk.models.norms import affine_batch_norm, fold_batch_norm
from sdk.models.orders import plain_orders
from sdk.models.pads import cut_pads, fold_pads
from sdk.models.patches import plain_patches
from sdk.models.pools import plain_pools
from sdk.models.products import layers_from_products
from sdk.models.resizes import plain_resizes
from sdk.models.scans import plain_scans
from sdk.models.slopes import plain_slopes
from sdk.models.spectra import real_spectra
from sdk.models.straight import plain_estimators
from sdk.models.sums import plain_sums
from sdk.models.windows import plain_windows


def attribute(module: Any, name: str) -> Any:
    """Return the tensor that a get_attr target names."""
    return operator.attrgetter(name)(module)


def set_tensor(module: Any, name: str, value: Any) -> None:
    """Replace or add the parameter `name` (dotted), making submodules as needed."""
    import torch

    *path, leaf = name.split(".")
    owner = module
    for part in path:
        if not hasattr(owner, part):
            owner.add_module(part, torch.nn.Module())
        owner = getattr(owner, part)
    if hasattr(owner, leaf):
        delattr(owner, leaf)
    owner.register_parameter(leaf, torch.nn.Parameter(value.detach().clone().contiguous(), requires_grad=False))


def new_get_attr(module: Any, name: str, value: Any, before: Any) -> Any:
    """Store `value` as parameter `name` and return a get_attr node for it, placed before node `before`."""
    set_tensor(module, name, value)
    with module.graph.inserting_before(before):
        return module.graph.get_attr(name)


def to_float(module: Any) -> None:
    """Bring half and double precision parameters and constants to float32, and what a graph computes of them."""
    import torch
    from torch.utils import _pytree as pytree

    for _, owner in module.named_modules():
        for group in (owner._parameters, owner._buffers):
            for key, value in group.items():
                if value is not None and value.dtype in (torch.float16, torch.bfloat16, torch.float64):
                    group[key] = torch.nn.Parameter(value.float(), False) if group is owner._parameters else value.float()
    wide = (torch.float16, torch.bfloat16, torch.float64)
    for node in module.graph.nodes:
        node.args = tuple(torch.float32 if a in wide and isinstance(a, torch.dtype) else a for a in node.args)
        node.kwargs = {k: torch.float32 if isinstance(v, torch.dtype) and v in wide else v for k, v in node.kwargs.items()}
        if "val" in node.meta:
            node.meta["val"] = pytree.tree_map_only(torch.Tensor, lambda v: v.float() if v.dtype in wide else v, node.meta["val"])


def join_aliases(module: Any) -> None:
    """Make every get_attr of one storage name the same parameter (tied weights)."""
    first: dict[tuple[Any, ...], str] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            tensor = attribute(module, node.target)
            if hasattr(tensor, "data_ptr") and tensor.numel():
                key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
                node.target = first.setdefault(key, node.target)


def merge_get_attrs(module: Any) -> None:
    """One get_attr node per parameter, so that counting its users counts its uses."""
    seen: dict[str, Any] = {}
    for node in list(module.graph.nodes):
        if node.op == "get_attr":
            if node.target in seen:
                node.replace_all_uses_with(seen[node.target])
                module.graph.erase_node(node)
            else:
                seen[node.target] = node


def drop_identities(module: Any) -> None:
    """Remove dropout, casts of nothing, clones, detaches, paddings of nothing and assertions, which do nothing at inference."""
    import torch

    aten = torch.ops.aten
    same = {aten.dropout.default, aten.clone.default, aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default,
            aten.feature_dropout.default, aten.alpha_dropout.default}
    pads = {aten.pad.default, aten.constant_pad_nd.default}
    checks = {"_assert_async", "_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range", "sym_constrain_range_for_size"}
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is aten.native_dropout.default:  # of a program that was exported while it trained
            replace_outputs(node, (node.args[0], None))
            continue
        idle = node.target is aten.to.dtype and node.args[0].meta["val"].dtype == node.args[1]
        idle |= node.target is aten._to_copy.default and node.kwargs == {"dtype": node.args[0].meta["val"].dtype}
        idle |= node.target in pads and all(isinstance(size, int) and size == 0 for size in node.args[1])
        if idle or (node.target in same and node.kwargs.get("memory_format") in (None, torch.preserve_format)):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        elif getattr(node.target, "__name__", "").split(".")[0] in checks and not node.users:
            module.graph.erase_node(node)


def linear_from_matmul(module: Any) -> None:
    """Write `addmm`, `mm` and `matmul` with a constant 2-D right side as `linear`, the form that runtimes quantize."""
    import torch

    aten = torch.ops.aten
    turned = {aten.t.default, aten.permute.default, aten.transpose.int}
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target not in (aten.addmm.default, aten.mm.default, aten.matmul.default):
            continue
        if node.target is aten.addmm.default and (node.kwargs or node.args[0].op != "get_attr"):
            continue
        bias, left, right = node.args if node.target is aten.addmm.default else (None, *node.args)
        if bias is not None and attribute(module, bias.target).dim() != 1:
            continue
        weight = _weight_of(module, right, turned, node)
        if weight is not None:
            with module.graph.inserting_before(node):
                made = module.graph.call_function(aten.linear.default, (left, weight, bias) if bias else (left, weight))
            made.meta.update(node.meta)
            node.replace_all_uses_with(made)
            module.graph.erase_node(node)


def _weight_of(module: Any, right: Any, turned: Any, node: Any) -> Any:
    """The [out, in] weight node behind the right side of a matmul, or None when it is not a constant matrix."""
    if right.op == "get_attr":
        value = attribute(module, right.target)
        if value.dim() != 2 or len(right.users) != 1:
            return None
        return new_get_attr(module, right.target, value.t(), node)
    if right.op == "call_function" and right.target in turned and right.args[0].op == "get_attr":
        value = attribute(module, right.args[0].target)
        if value.dim() == 2 and tuple(right.meta["val"].shape) == tuple(value.t().shape) and right.args[1:] in (
            (), ([1, 0],), (0, 1), (1, 0), (-2, -1), (-1, -2)
        ):
            return right.args[0]
    return None


def weights_of_two_axes(module: Any) -> None:
    """Write a linear whose weight is a vector (an expected place: `F.linear(shares, places)`) as one of one channel out."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "call_function" or node.target is not aten.linear.default:
            continue
        weight = node.args[1]
        if (attribute(module, weight.target) if weight.op == "get_attr" else weight.meta["val"]).dim() != 1:
            continue
        if weight.op == "get_attr":
            weight.meta.setdefault("val", metadata_of(attribute(module, weight.target), node))
        wide = call_before(node, aten.linear.default, node.args[0], call_before(node, aten.unsqueeze.default, weight, 0))
        made = call_before(node, aten.squeeze.dim, wide, -1)
        if len(node.args) > 2 and node.args[2] is not None:
            made = call_before(node, aten.add.Tensor, made, node.args[2])
        replace_outputs(node, (made,))


def weights_are_parameters(module: Any) -> None:
    """Make a parameter of each constant that a layer reads (a blur's fixed kernel, say): layers are planned alike."""
    import torch

    from sdk.models.layers import operators

    known = operators()
    for node in module.graph.nodes:
        for each in node.all_input_nodes if node.op == "call_function" and node.target in known else ():
            value = attribute(module, each.target) if each.op == "get_attr" else None
            if value is not None and value.is_floating_point() and not isinstance(value, torch.nn.Parameter):
                set_tensor(module, each.target, value)


def bias_of_one_axis(module: Any) -> None:
    """Add the bias of a linear apart where it has not one axis, which `linear` takes in torch alone."""
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        bias = node.args[2] if node.op == "call_function" and node.target is aten.linear.default and len(node.args) > 2 else None
        if bias is None or bias.op != "get_attr" or attribute(module, bias.target).dim() == 1:
            continue
        with module.graph.inserting_before(node):
            made = module.graph.call_function(aten.linear.default, node.args[:2])
            total = module.graph.call_function(aten.add.Tensor, (made, bias))
        made.meta.update(node.meta)
        total.meta.update(node.meta)
        node.replace_all_uses_with(total)
        module.graph.erase_node(node)


def numbers_as_exponents(module: Any) -> None:
    """Write the constant exponent of a power as a number, where it is one: a square then stays one when parameters are moved a
    little to see what rounding does, and backends have kernels for it."""
    import torch

    aten = torch.ops.aten
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is aten.pow.Tensor_Tensor and node.args[1].op == "get_attr":
            exponent, base = attribute(module, node.args[1].target), node.args[0].meta["val"]
            if exponent.numel() == 1 and exponent.dim() <= base.dim():
                node.target, node.args = aten.pow.Tensor_Scalar, (node.args[0], exponent.item())


def explicit_convolutions(module: Any) -> None:
    """Write `convolution` and string paddings as plain conv1d/conv2d/conv_transpose with numbers."""
    import torch

    aten = torch.ops.aten
    plain = {
        3: (aten.conv1d.default, aten.conv_transpose1d.default), 4: (aten.conv2d.default, aten.conv_transpose2d.input),
        5: (aten.conv3d.default, aten.conv_transpose3d.input),
    }  # fmt: skip
    for node in list(module.graph.nodes):
        if node.op != "call_function":
            continue
        if node.target is aten.convolution.default:
            x, w, b, stride, padding, dilation, transposed, output_padding, groups = node.args
            rank = w.meta["val"].dim() if "val" in w.meta else attribute(module, w.target).dim()
            if rank in plain:
                node.target = plain[rank][int(transposed)]
                node.args = ((x, w, b, stride, padding, output_padding, groups, dilation) if transposed
                             else (x, w, b, stride, padding, dilation, groups))
        elif node.target in (aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding) and node.args[1].op == "get_attr":
            _number_padding(module, node)


def _number_padding(module: Any, node: Any) -> None:
    import torch

    aten = torch.ops.aten
    defaults: tuple[Any, ...] = (None, [1], "valid", [1], 1)
    given: tuple[Any, ...] = (*node.args, *defaults[len(node.args) - 2 :])
    x, w, b, stride, padding, dilation, groups = given
    kernel = attribute(module, w.target).shape[2:]
    dilation = list(dilation) * (len(kernel) // len(dilation))
    total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(dilation, kernel, strict=True)]
    if all(t % 2 == 0 for t in total):
        node.target = (aten.conv1d.default, aten.conv2d.default, aten.conv3d.default)[len(kernel) - 1]
        node.args = (x, w, b, stride, [t // 2 for t in total], dilation, groups)


def explicit_strides(module: Any) -> None:
    """Write the stride of a pool that leaves it out: backends read it by position. It is the kernel."""
    import torch

    aten = torch.ops.aten
    pools = {aten.max_pool1d.default, aten.max_pool2d.default, aten.max_pool3d.default, aten.avg_pool1d.default,
             aten.avg_pool2d.default, aten.avg_pool3d.default, aten.max_pool2d_with_indices.default}
    for node in module.graph.nodes:
        if node.op == "call_function" and node.target in pools and (len(node.args) < 3 or not node.args[2]):
            node.args = (*node.args[:2], node.args[1], *node.args[3:])


def drop_padding_index(module: Any) -> None:
    """Forget an embedding's padding index, which only training reads."""
    import torch

    for node in module.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.aten.embedding.default:
            node.args = node.args[:2]
            node.kwargs = {}


def untie_kinds(module: Any) -> None:
    """Give an embedding its own copy of a weight that other operators read too: runtimes store the two apart.

    Each of the two keeps the name that it has in the user's model.
    """
    import torch

    aten = torch.ops.aten
    for node in list(module.graph.nodes):
        if node.op != "get_attr":
            continue
        lookups = [u for u in node.users if u.target is aten.embedding.default and u.args[0] is node]
        others = [u for u in node.users if u not in lookups]
        if lookups and others:
            moved = others if owner_of(lookups[0]) == node.target.rpartition(".")[0] else lookups
            name = _alias_of(module, node.target) or f"{node.target.removesuffix('.weight')}_lookup.weight"
            made = new_get_attr(module, name, attribute(module, node.target), node)
            for user in moved:
                user.replace_input_with(node, made)


def owner_of(node: Any) -> str:
    """Qualified name of the user's module that the operator was traced in, empty when nobody knows."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((str(path) for path, _ in reversed(stack.values())), "")


def _alias_of(module: Any, name: str) -> str | None:
    """Another parameter name with the same storage, as tied modules have."""
    tensor = attribute(module, name)
    for other, value in module.named_parameters(remove_duplicate=False):
        if other != name and value.data_ptr() == tensor.data_ptr() and value.shape == tensor.shape:
            return str(other)
    return None


def drop_unused_state(module: Any) -> None:
    """Delete parameters and buffers that the graph no longer reads."""
    used = {n.target for n in module.graph.nodes if n.op == "get_attr"}
    for prefix, owner in list(module.named_modules()):
        for group in (owner._parameters, owner._buffers):
            for key in list(group):
                if (f"{prefix}.{key}" if prefix else key) not in used:
                    del group[key]


RULES: tuple[Callable[[Any], None], ...] = (
    join_aliases,
    merge_get_attrs,
    drop_identities,
    plain_estimators,
    fold_pads,
    plain_assignments,
    plain_patches,
    plain_bags,
    plain_cells,
    plain_slopes,
    plain_orders,
    plain_pools,
    plain_resizes,
    plain_scans,
    plain_sums,
    linear_from_matmul,
    layers_from_products,
    weights_of_two_axes,
    bias_of_one_axis,
    numbers_as_exponents,
    store_indices,
    fold_constants,
    real_spectra,
    plain_windows,
    cut_pads,
    drop_idle_masks,
    explicit_convolutions,
    explicit_strides,
    fold_batch_norm,
    affine_batch_norm,
    plain_cubes,
    drop_padding_index,
    untie_kinds,
)
