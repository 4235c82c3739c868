"""Random splits by patient that are the same on every machine and in every version."""

import hashlib

from kits_tf.errors import UsageError

SPLITS = ("training", "validation", "test")


def shuffled(ids, seed):
    """The ids in an order that is random but a function of the ids and the seed alone.

    Each id is ranked by the SHA-256 of "seed:id", so no random number generator is involved and a case that comes or
    goes leaves the order of the others alone.
    """
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def split_cases(ids, num_validation, num_test, seed):
    """Splits cases at random; in KiTS19 every case is another patient.

    Args:
        ids: case ids.
        num_validation: cases for validation.
        num_test: cases for testing; the others are for training.
        seed: any integer.

    Returns:
        {id: "training" | "validation" | "test"}, in the order of `ids`.

    Raises:
        UsageError: no case is left for training.
    """
    order = shuffled(ids, seed)
    if len(order) <= num_validation + num_test:
        raise UsageError(
            "num_validation",
            f"{num_validation} validation and {num_test} test cases of {len(order)} leave none for training; "
            "takes fewer (as does --num_test)",
        )
    split = dict.fromkeys(order[:num_test], "test")
    split |= dict.fromkeys(order[num_test : num_test + num_validation], "validation")
    return {name: split.get(name, "training") for name in ids}
