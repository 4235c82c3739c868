"""One set of array operations, from NumPy or from TensorFlow.

Functions with an argument `xp` do the same arithmetic on NumPy arrays, in prediction, and in the TensorFlow graph of
an exported system. `xp` is `NumPy` or `tensorflow()`, with names and arguments as in NumPy.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
"""A `numpy.ndarray` or a `tf.Tensor`, according to the `xp` of the call."""

Size: TypeAlias = Any
"""An int or, in a TensorFlow graph, a scalar int32 tensor."""

ArrayModule: TypeAlias = Any
"""`NumPy`, or what `tensorflow()` returns."""


def _sparse_matmul(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return matrix @ x of two 2D arrays, fast for a matrix that is mostly zeros."""
    from scipy import sparse

    return sparse.csr_array(matrix) @ x


NumPy: ArrayModule = SimpleNamespace(
    **{
        name: getattr(np, name)
        for name in (
            "arange", "asarray", "ceil", "clip", "concatenate", "cumsum", "flip", "float32", "float64", "int32",
            "max", "maximum", "minimum", "pad", "reshape", "round", "stack", "sum", "transpose", "uint16", "where",
        )
    },
    cast=lambda x, dtype: np.asarray(x).astype(dtype, copy=False),
    shape=np.shape,
    sparse_matmul=_sparse_matmul,
    take=lambda x, indices, axis: x[(slice(None),) * axis + (indices,)],  # np.take would copy all of a cropped view
)  # fmt: skip


@functools.cache
def tensorflow() -> ArrayModule:
    """Return the operations for `tf.Tensor`, of known or unknown size; imports TensorFlow on the first call."""
    import tensorflow as tf

    def sparse_matmul(matrix: Any, x: Any) -> Any:
        with tf.device("/CPU:0"):  # not deterministic on a GPU
            return tf.sparse.sparse_dense_matmul(tf.sparse.from_dense(matrix), x)

    return SimpleNamespace(
        **{
            name: getattr(tf, name)
            for name in (
                "cast", "cumsum", "float32", "float64", "int32", "maximum", "minimum", "reshape", "round", "shape",
                "stack", "transpose", "uint16", "where",
            )
        },
        arange=tf.range,
        asarray=tf.convert_to_tensor,
        ceil=tf.math.ceil,
        clip=tf.clip_by_value,
        concatenate=tf.concat,
        flip=lambda x, axis: tf.reverse(x, [axis]),
        max=tf.reduce_max,
        pad=lambda x, widths: tf.pad(x, [tuple(width) for width in widths]),
        sparse_matmul=sparse_matmul,
        sum=tf.reduce_sum,
        take=tf.gather,
    )  # fmt: skip
