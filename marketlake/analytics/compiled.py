"""How loops over arrays are compiled, and the one instruction that numba has no name for."""

from __future__ import annotations

from typing import Any, Final

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

RAW: Final[dict[str, Any]] = {"cache": True, "nogil": True, "_nrt": False}
"""Compiler options of loops that allocate nothing: without them numba counts references of every
array at every call, five times the work of reading a message (0.98 us against 0.18 us)."""

LOOP: Final[dict[str, Any]] = {**RAW, "error_model": "numpy"}
"""The same for arithmetic: a division by zero gives what IEEE 754 says, without a test and a way
out at every division."""


@intrinsic
def copy_bytes(_context: Any, out: Any, at: Any, data: Any, start: Any, size: Any) -> Any:  # noqa: ARG001
    """Copy ``data[start:start + size]`` to ``out[at:]`` by ``memcpy``; nothing is checked.

    In compiled code only. Both arrays are contiguous ``uint8`` vectors that do not overlap; the
    caller has checked the bounds. A loop a byte took 0.24 us a message of 150 bytes.
    """
    signature = types.void(out, types.int64, data, types.int64, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = context.make_array(sig.args[0])(context, builder, args[0])
        origin = context.make_array(sig.args[2])(context, builder, args[2])
        cgutils.raw_memcpy(
            builder,
            builder.gep(target.data, [args[1]]),
            builder.gep(origin.data, [args[3]]),
            args[4],
            1,
        )
        return context.get_dummy_value()

    return signature, generate
