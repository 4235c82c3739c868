"""Output that cannot be written is refused with its flag, and looking leaves nothing behind."""

import tempfile

import pytest

from kits_tf.cli import outputs
from kits_tf.errors import UsageError


def test_a_folder_that_can_be_made_is_fine_and_is_not_made(tmp_path):
    outputs.check_folder("output_dir", tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(UsageError, match="--output_dir: .*taken is a file; takes a folder"):
            outputs.check_folder("output_dir", folder)


def test_a_folder_is_no_file(tmp_path):
    outputs.check_file("csv", tmp_path / "scores.csv")
    with pytest.raises(UsageError, match="--csv: .* is a folder; takes a file"):
        outputs.check_file("csv", tmp_path)


def test_what_the_system_refuses_is_said(tmp_path, monkeypatch):
    """Root may write anywhere, so the refusal is the system's word alone."""

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(UsageError, match="--output_dir: .*new: Permission denied"):
        outputs.check_folder("output_dir", tmp_path / "new")
