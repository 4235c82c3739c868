"""What ends training through no fault of the program: memory that does not suffice, records that cannot be read."""

import re

import tensorflow as tf

from kits_tf.data.records import read_record
from kits_tf.data.stage_inputs import read_sample
from kits_tf.errors import InputError
from kits_tf.training.checkpoints import reason

RECORDS = (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError)
FAULTS = (tf.errors.ResourceExhaustedError, *RECORDS)
# Names of operations, around what matters.
NAMES = re.compile(r"Graph execution error:|Detected at node .*|\s*\{\{.*?\}\}\s*|\[Op:.*")
READING = "IteratorGetNext"  # the operation that fails where a pipeline does; elsewhere the program is wrong
FULL = "No space left on device"
MEMORY = "memory does not suffice; takes a smaller --batch_size, or --set=accumulation=N, and another --checkpoint_dir"


def explain(error, config, data_dir, sources):
    """What one of FAULTS means for the one who reads it, in a line.

    Args:
        error: what training ended with.
        config: a KidneyConfig or TumorConfig.
        data_dir: the prepared folder.
        sources: from `data.training_sources`.

    Returns:
        the line; None where the program itself is wrong.
    """
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return FULL if FULL in str(error) else MEMORY
    if READING not in str(error):
        return None
    damaged = next(filter(None, (fault(source, config.stage) for source in sources)), None)
    if damaged:
        return f"{damaged}; remove it and run kits-prepare again"
    return f"{data_dir}: {words(error)}; run kits-prepare again"


def fault(source, stage):
    """What is wrong with one of a pipeline's sources: "PATH: reason", or None."""
    try:
        if stage == "kidney":
            read_record(source)
        else:
            read_sample(str(source["path"]), with_distance=False)
    except InputError as error:
        return str(error)
    except tf.errors.OpError as error:
        return f"{source['path']}: {words(error)}"
    return None


def words(error):
    """What TensorFlow says of an error, without the names of its operations."""
    return reason(NAMES.sub("", str(error)).strip())
