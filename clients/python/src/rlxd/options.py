# SPDX-License-Identifier: Apache-2.0
"""How to compile. None leaves a choice to the server; an empty list is a choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rlxd._proto.rlx.v1 import module_pb2, options_pb2
from rlxd._proto.rlx.v1 import types_pb2 as types

Precision = Literal["f32", "f16", "bf16"]
Stage = Literal["hir", "mir", "lir"]
PolicyKind = Literal[
    "always_f32", "always_f16", "auto_mixed_conservative", "auto_mixed", "auto_mixed_bf16"
]
UNBOUNDED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """Field by field what rlx/v1/options.proto documents."""

    precision: Precision | None = None
    #: One of the named policies, or a map from op class (compute, reduction, elementwise,
    #: data_movement, boundary) to precision.
    policy: PolicyKind | Mapping[str, Precision] | None = None
    dce: bool | None = None
    constant_folding: bool | None = None
    verbose: bool | None = None
    fusion_target: str | None = None
    skip_fusion: bool | None = None
    unfuse_elementwise_regions: bool | None = None
    #: (steps, inputs) of one elementwise region; UNBOUNDED for no limit.
    fusion_limits: tuple[int, int] | None = None
    arena_alignment: int | None = None
    assert_fusion_clean: bool | None = None
    supported_ops: Iterable[str] | None = None
    dim_binding: Mapping[str, int] | None = None
    kernel_dispatch: Literal["prefer_native", "force_common", "force_native"] | None = None
    force_common_kinds: Iterable[str] | None = None
    force_native_kinds: Iterable[str] | None = None
    disabled_passes: Iterable[str] | None = None
    dump: tuple[Stage, ...] = ()
    salt: bytes | None = None

    def to_wire(self) -> options_pb2.CompileOptions:
        """The message, holding only what was given. ValueError for an unknown word."""
        return options_pb2.CompileOptions(
            **_given(
                precision=_precision(self.precision),
                policy=_policy(self.policy),
                dce=self.dce,
                constant_folding=self.constant_folding,
                verbose=self.verbose,
                fusion_target=_enum(types.FusionTarget, "FUSION_TARGET_", self.fusion_target),
                fusion_opts=self._fusion(),
                arena_alignment=self.arena_alignment,
                assert_fusion_clean=self.assert_fusion_clean,
                supported_ops=_names(self.supported_ops),
                dim_binding=None
                if self.dim_binding is None
                else options_pb2.DimBinding(values=self.dim_binding),
                kernel_dispatch=self._dispatch(),
                disabled_passes=_names(self.disabled_passes),
                dump=[stage_number(s) for s in self.dump],
                salt=self.salt,
            )
        )

    def _fusion(self) -> options_pb2.FusionOptions | None:
        limits = None
        if self.fusion_limits is not None:
            steps, inputs = self.fusion_limits
            limits = options_pb2.FusionLimits(
                max_elementwise_steps=steps, max_elementwise_inputs=inputs
            )
        fields = _given(
            skip_fusion=self.skip_fusion,
            unfuse_elementwise_regions=self.unfuse_elementwise_regions,
            limits=limits,
        )
        return options_pb2.FusionOptions(**fields) if fields else None

    def _dispatch(self) -> options_pb2.KernelDispatch | None:
        fields = _given(
            policy=_enum(options_pb2.KernelDispatch.Policy, "POLICY_", self.kernel_dispatch),
            force_common_kinds=_names(self.force_common_kinds),
            force_native_kinds=_names(self.force_native_kinds),
        )
        return options_pb2.KernelDispatch(**fields) if fields else None


def stage_number(stage: Stage) -> Any:
    """The wire's number of "hir", "mir" or "lir"."""
    return _enum(module_pb2.Stage, "STAGE_", stage)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _enum(enum: Any, prefix: str, word: str | None) -> Any:
    if word is None:
        return None
    name = prefix + word.upper()
    if name not in enum.keys() or enum.Value(name) == 0:
        words = ", ".join(n.removeprefix(prefix).lower() for n in enum.keys() if enum.Value(n))
        raise ValueError(f"{word!r} is none of: {words}")
    return enum.Value(name)


def _precision(word: Precision | None) -> Any:
    return _enum(options_pb2.Precision, "PRECISION_", word)


def _policy(policy: PolicyKind | Mapping[str, Precision] | None) -> Any:
    if policy is None:
        return None
    kinds = options_pb2.PrecisionPolicy.Kind
    if isinstance(policy, str):
        return options_pb2.PrecisionPolicy(kind=_enum(kinds, "KIND_", policy))
    custom = {op_class: _precision(word) for op_class, word in policy.items()}
    return options_pb2.PrecisionPolicy(kind=kinds.KIND_CUSTOM, custom=custom)


def _names(names: Iterable[str] | None) -> options_pb2.NameList | None:
    if isinstance(names, str):
        raise TypeError("a list of names, not one name")
    return None if names is None else options_pb2.NameList(names=sorted(names))
