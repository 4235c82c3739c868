"""Proves that what libraries would say of a header stays unsaid as long as any thread reads one."""

import logging
import warnings

import pytest

from kits_tf.io.privacy import quiet, safe_path, uid_digest

HIDDEN = f"series_{uid_digest('1.2.3')}"


@pytest.mark.parametrize(
    "path, shown",
    [
        ("/scans/Mustermann_Erika/2019", f"/scans/{HIDDEN}/2019"),
        ("scans/PAT-1/erika/ct", f"scans/{HIDDEN}/{HIDDEN}/ct"),
        ("scans/pat/1/ct", HIDDEN),  # they name the patient together
        ("../ct", "../ct"),
    ],
)
def test_only_the_folders_that_name_a_patient_are_hidden(path, shown):
    assert safe_path(path, {"mustermann", "erika", "pat1"}, "1.2.3") == shown


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
