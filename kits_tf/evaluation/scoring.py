"""Label files scored against label files, by several processes."""

import concurrent.futures
import multiprocessing

from kits_tf.errors import InputError
from kits_tf.evaluation import lesions, matching, metrics, recorded
from kits_tf.io.volume import read_labels


def score_files(prediction_path, reference_path):
    """Scores one label file against another.

    Returns:
        {"scores": as `metrics.score`, "lesions": as `lesions.detect`, "sides": as `lesions.side_scores`,
        "tumors_not_looked_for": as `recorded` tells it from the JSON beside the prediction}.

    Raises:
        InputError: one of them cannot be read, or their grids differ.
    """
    reference, reference_grid = read_labels(reference_path)
    prediction, grid = read_labels(prediction_path)
    matching.check_same_grid(prediction_path, grid, reference_grid)
    spacing_mm = reference_grid.spacing_mm
    return {
        "scores": metrics.score(prediction, reference, spacing_mm),
        "lesions": lesions.detect(prediction, reference, spacing_mm),
        "sides": lesions.side_scores(prediction, reference, spacing_mm),
        "tumors_not_looked_for": recorded.tumors_not_looked_for(recorded.beside(prediction_path), prediction),
    }


def missing_result(reference_path):
    """What a case without a usable prediction gets: the scores of nothing, every tumor missed.

    Raises:
        InputError: the reference cannot be read.
    """
    reference, grid = read_labels(reference_path)
    nothing = reference * 0
    return {
        "scores": metrics.missing_scores(),
        "lesions": lesions.detect(nothing, reference, grid.spacing_mm),
        "sides": lesions.side_scores(nothing, reference, grid.spacing_mm),
        "tumors_not_looked_for": False,
    }


def score_all(pairs, processes=1):
    """Scores many pairs, in order.

    Args:
        pairs: {id: (prediction path, or None, reference path)}.
        processes: how many work at once.

    Yields:
        (id, result, error): the result as `score_files` gives it, or that of a missing prediction, or None where the
        reference cannot be read; error is an InputError or None.
    """
    tasks = [(name, *paths) for name, paths in pairs.items()]
    if min(processes, len(tasks)) <= 1:
        yield from (_unpacked(_work(task)) for task in tasks)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(processes, len(tasks)), context) as pool:
        yield from map(_unpacked, pool.map(_work, tasks))


def _work(task):
    """One pair; an error goes back as its two texts, since exceptions do not travel between processes as they are."""
    name, prediction_path, reference_path = task
    error = None
    try:
        if prediction_path is not None:
            return name, score_files(prediction_path, reference_path), None
    except InputError as caught:
        error = caught.path, caught.reason
        if caught.path == str(reference_path):
            return name, None, error
    try:
        return name, missing_result(reference_path), error
    except InputError as caught:
        return name, None, (caught.path, caught.reason)


def _unpacked(answer):
    name, result, error = answer
    return name, result, None if error is None else InputError(*error)
