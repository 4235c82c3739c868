"""Training steps of the product's networks under Keras on JAX, for `accelerator_step.py`."""

import math
import time

from experiments.benchmarks.accelerator_clock import check_card, timed
from experiments.benchmarks.accelerator_turns import wait_for_turn
from experiments.benchmarks.training_batch import INPUTS, random_batch, sample_shape

ITEM_BYTES = {"float32": 4, "mixed_bfloat16": 2}
WEIGHT_BYTES = 32  # a weight's, in float32: Adam reads and writes it and its two moments; gradient written and read


def ours(config, precision, arguments):
    """One network of ours, timed, with its memory, the seconds it took to compile, and what a step must do."""
    import jax
    import keras

    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(0)
    with jax.default_device(jax.devices("cpu")[0]):  # hundreds of small initialisers compile faster there
        network = build(config)
        optimizer = keras.optimizers.Adam(config.learning_rate)
        optimizer.build(network.trainable_variables)
    groups = (network.trainable_variables, network.non_trainable_variables, optimizer.variables)
    state = [[variable.value for variable in group] for group in groups]
    batch = random_batch(config)
    begin = time.perf_counter()
    lowered = jax.jit(step_of(network, optimizer, config), donate_argnums=0).lower(*shapes_of((state, batch)))
    trace_seconds = time.perf_counter() - begin
    wait_for_turn()
    device = jax.devices()[0]
    check_card(device.platform != "cpu", arguments)
    begin = time.perf_counter()
    compiled = lowered.compile()
    compile_seconds = time.perf_counter() - begin
    peak_of_compiling = peak_bytes(device)
    state, batch = jax.device_put((state, batch), device)
    found = timed(runner(compiled, state, batch), jax.block_until_ready, arguments.steps)
    return {
        **found,
        "peak_bytes": peak_bytes(device),
        "peak_bytes_of_compiling": peak_of_compiling,
        "planned_bytes": planned_bytes(compiled),
        "trace_seconds": round(trace_seconds, 1),
        "compile_seconds": round(compile_seconds, 1),
        "xla_operations": cost(compiled).get("flops"),
        "xla_bytes": cost(compiled).get("bytes accessed"),
        **needed(network, config, precision),
    }


def build(config):
    """The network of a config, its input's size fixed so that layers know the sizes of theirs."""
    from kits_tf import models

    network = {"kidney": models.KidneyNetwork, "tumor": models.TumorNetwork}[config.stage]
    return network(**models.architecture(config), size=sample_shape(config)[:-1])


def step_of(network, optimizer, config):
    """A pure function of state and batch that takes one step: the next state and the loss."""
    import jax

    from kits_tf import losses

    loss = {"kidney": losses.kidney_loss, "tumor": losses.tumor_loss}[config.stage]

    def objective(trainable, moving, batch):
        image = batch[INPUTS[config.stage]]
        outputs, moving = network.stateless_call(trainable, moving, image, training=True)
        return loss(batch, outputs, config)[0], moving

    def step(state, batch):
        trainable, moving, moments = state
        gradient = jax.value_and_grad(objective, has_aux=True)
        (total, moving), gradients = gradient(trainable, moving, batch)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return [list(trainable), list(moving), list(moments)], total

    return step


def shapes_of(tree):
    """Shapes and types in place of arrays."""
    import jax

    return jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), tree)


def runner(compiled, state, batch):
    """A function that takes the next step and returns its loss."""

    def step():
        nonlocal state
        state, total = compiled(state, batch)
        return total

    return step


def peak_bytes(device):
    """The most memory of the device that was in use at once; None where it is not counted."""
    return (device.memory_stats() or {}).get("peak_bytes_in_use")


def planned_bytes(compiled):
    """What XLA says that a step takes: state, batch and all between; None where it does not say."""
    plan = compiled.memory_analysis()
    if plan is None:
        return None
    sizes = (plan.argument_size_in_bytes, plan.output_size_in_bytes, plan.temp_size_in_bytes)
    return sum(sizes) - plan.alias_size_in_bytes


def cost(compiled):
    """XLA's own account of a compiled function."""
    found = compiled.cost_analysis() or {}
    return found[0] if isinstance(found, (list, tuple)) else found


def needed(network, config, precision):
    """Parameters, operations and bytes that a step takes at least, as this file's docstring counts them."""
    from experiments.network_table import multiply_adds

    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    first = layers[0]  # its input takes no gradient
    operations = 2 * (3 * sum(multiply_adds(layer) for layer in network.layers) - multiply_adds(first))
    sizes = [(math.prod(layer.input.shape[1:]), math.prod(layer.output.shape[1:])) for layer in layers]
    numbers = sum(3 * read + 2 * written for read, written in sizes) - sizes[0][0]
    trained = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    return {
        "trained_parameters": trained,
        "operations": config.batch_size * operations,
        "bytes": config.batch_size * numbers * ITEM_BYTES[precision] + WEIGHT_BYTES * trained,
    }
