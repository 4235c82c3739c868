"""What the card of `accelerator_step.py` reaches at most, measured."""

import statistics
import time

from experiments.benchmarks.accelerator_turns import wait_for_turn


def ceilings(small):
    """What the card reaches: matrix products in both precisions, a copy; and what float32 rounds to."""
    import jax
    import keras
    from jax import numpy as jnp

    side, numbers = (256, 2**20) if small else (8192, 2**29)
    wait_for_turn()
    one, other = jax.random.normal(jax.random.key(0), (2, side, side), jnp.float32)
    product, copy = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1)
    operations = 2 * side**3
    found = {"device": jax.devices()[0].device_kind, "jax": jax.__version__, "keras": keras.__version__}
    found["float32_product_error"] = rounding(jnp.matmul, one, other)
    found["float32_convolution_error"] = rounding(convolved, *convolution_inputs())
    found["float32"] = operations / seconds_of(product, one, other)
    half = (one.astype(jnp.bfloat16), other.astype(jnp.bfloat16))
    found["mixed_bfloat16"] = operations / seconds_of(product, *half)
    found["bytes_a_second"] = 8 * numbers / seconds_of(copy, jnp.zeros(numbers, jnp.float32) + 0.5)
    return found


def seconds_of(function, *arrays, calls=10, repeats=5):
    """Seconds of a call among calls in a row: the median over repeats."""
    import jax

    jax.block_until_ready([function(*arrays) for _ in range(2)])
    spent = []
    for _ in range(repeats):
        begin = time.perf_counter()
        for _ in range(calls):
            last = function(*arrays)
        jax.block_until_ready(last)
        spent.append((time.perf_counter() - begin) / calls)
    return statistics.median(spent)


def convolved(x, kernel):
    """A convolution, channels last."""
    import jax

    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def convolution_inputs():
    """Features and a 3 x 3 kernel of 64 channels."""
    import jax

    keys = jax.random.split(jax.random.key(1))
    return jax.random.normal(keys[0], (2, 64, 64, 64)), jax.random.normal(keys[1], (3, 3, 64, 64))


def rounding(function, *arrays):
    """Relative error of a float32 function at the usual precision, against the highest: near 3e-4 for TF32."""
    import jax
    from jax import numpy as jnp

    usual = jax.jit(function)(*arrays)
    with jax.default_matmul_precision("highest"):
        exact = jax.jit(lambda *a: function(*a))(*arrays)
    return float(jnp.linalg.norm(usual - exact) / jnp.linalg.norm(exact))
