"""Proves which folders count as cases and what --cases may say."""

import pytest

from kits_tf.data import kits19
from kits_tf.errors import UsageError


def test_only_case_folders_count(tmp_path):
    for name in ("case_00007", "case_00002", "case_1", "case_000003", "other", "case_00001.bak"):
        (tmp_path / name).mkdir()
    (tmp_path / "case_00009").write_text("a file")
    (tmp_path / "case_00002" / "imaging.nii.gz").write_text("x")
    first, second = kits19.find_cases(tmp_path)
    assert (first.id, first.number, second.id) == ("case_00002", 2, "case_00007")
    assert first.image == tmp_path / "case_00002" / "imaging.nii.gz"
    assert first.label is None and second.image is None
    assert kits19.find_cases(tmp_path / "missing") == []


@pytest.mark.parametrize(
    "text, numbers",
    [("3", [3]), ("0-3", [0, 1, 2, 3]), ("5,1-2,2-3", [1, 2, 3, 5]), (" 7 , 9-9", [7, 9]), ("00160", [160])],
)
def test_cases_are_numbers_and_ranges(text, numbers):
    assert kits19.parse_cases(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,,2", "-3", "1-", "1-2-3", "123456", "1.5"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError) as error:
        kits19.parse_cases(text)
    assert error.value.flag == "cases"


def test_names_of_a_case():
    assert kits19.case_name(42) == "case_00042"
    assert kits19.prediction_name("case_00042") == "prediction_00042.nii.gz"
    assert kits19.case_number("case_00042") == 42
    assert kits19.case_number("scan") is None
