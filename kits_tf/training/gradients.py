"""What is done to gradients before the optimizer sees them: parts of a batch averaged, and their length bounded."""

import tensorflow as tf


def accumulated(function, batch, parts):
    """The mean of a function over equal parts of a batch, computed one after the other so that one at a time is held.

    It is what the function gives of the whole batch where that is a mean over samples. A soft Dice with
    dice_over="batch" is none, nor is anything behind batch normalisation: these are taken over each part.

    Args:
        function: function(batch) gives a list of tensors.
        batch: dict of tensors with a leading axis that `parts` divides.
        parts: how many; with 1 the function is called on the batch as it is.

    Returns:
        list of tensors, the mean of what the function gave.
    """
    if parts == 1:
        return function(batch)
    size = next(iter(batch.values())).shape[0] // parts
    total = None
    for first in range(0, parts * size, size):
        with tf.control_dependencies(total or []):  # this part begins when those before it are done
            part = {name: tf.identity(tensor[first : first + size]) for name, tensor in batch.items()}
        found = function(part)
        total = found if total is None else [a + b for a, b in zip(total, found, strict=True)]
    return [tensor / parts for tensor in total]


def summed(shares, longest=None):
    """Gradients of the whole batch, where asked for scaled down to a length over all variables.

    The length of a sum is not known from the lengths of its parts, nor whether it is finite from one of them, so the
    replicas' shares are summed first. The optimizer sums what it is given over the replicas once more; each therefore
    gets its part of the result.

    Args:
        shares: this replica's gradients; the sum over replicas is that of the whole batch.
        longest: greatest length, the root of the sum of squares over all of them; None leaves them as they are.

    Returns:
        list of gradients, to be summed over the replicas.
    """
    context = tf.distribute.get_replica_context()
    gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, shares)
    if longest is not None:
        gradients, _ = tf.clip_by_global_norm(gradients, longest)
    return [gradient / context.num_replicas_in_sync for gradient in gradients]
