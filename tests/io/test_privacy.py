"""Proves that what libraries would say of a header stays unsaid as long as any thread reads one."""

import logging
import warnings

from kits_tf.io.privacy import quiet


def test_silence_ends_with_the_last_of_those_who_asked_for_it(capsys):
    logger = logging.getLogger("pydicom")
    level = logger.level
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        one, other = quiet(), quiet()
        one.__enter__()
        other.__enter__()
        one.__exit__(None, None, None)
        warnings.warn("Mustermann^Erika", stacklevel=1)
        assert not said and not logger.isEnabledFor(logging.ERROR)
        other.__exit__(None, None, None)
        warnings.warn("audible", stacklevel=1)
    assert [str(warning.message) for warning in said] == ["audible"] and logger.level == level
