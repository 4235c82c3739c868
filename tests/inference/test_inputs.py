"""Prove which CTs a path names, under which names they are written, and what is skipped."""

import os

import pytest

from kits_tf.errors import UsageError
from kits_tf.inference.inputs import find_inputs, from_file, share_of
from tests.io.dicom_files import images, write
from tests.tiny import small_ct

HU = small_ct((4, 20, 24))


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(path, **options):
    """{output name: path} of what is found."""
    return {one.output_name: one.path for one in find_inputs(path, **options).inputs if not one.fault}


def faults(path):
    return [str(one.fault) for one in find_inputs(path).inputs if one.fault]


def test_a_split_is_that_of_prepared_cases(prepared, tmp_path):
    splits = [set(found(prepared, split=split)) for split in ("training", "validation")]
    assert [len(names) for names in splits] == [2, 2] and set.union(*splits) == set(found(prepared))
    (tmp_path / "scans").mkdir()
    touch(tmp_path / "scans", "a.nii.gz")
    (tmp_path / "scans" / "prepared").symlink_to(prepared)
    assert set(found(tmp_path, split="validation")) == splits[1]
    for path, split in ((prepared, "test"), (tmp_path / "scans" / "a.nii.gz", "training")):
        with pytest.raises(UsageError, match=f"^--split: .* no prepared case for {split}"):
            find_inputs(path, split=split)


def test_a_tree_of_everything(tmp_path):
    """NIfTI files, KiTS19 cases, DICOM series of two patients, a linked folder, and what is none of these."""
    touch(tmp_path, "a.nii.gz", "deep/er/B.NII", "case_00210/imaging.nii.gz", "case_00210/segmentation.nii.gz")
    touch(tmp_path, "case_00210/instances/kidney.nii.gz", "notes.txt", ".hidden.nii.gz", ".git/c.nii.gz", "x/pair.img")
    write(images(HU), tmp_path / "archive" / "one" / "ct")
    second = images(HU)
    for number, image in enumerate(second):
        image.SeriesNumber = 7 + number // 2
        image.SeriesInstanceUID = f"1.2.{number // 2}"
    write(second, tmp_path / "archive" / "two" / "abdomen")
    localizer = images(HU[:2])
    for image in localizer:
        image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    write(localizer, tmp_path / "archive" / "scout")
    (tmp_path / "elsewhere.nii.gz").symlink_to(tmp_path / "a.nii.gz")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.nii.gz")  # whoever opens it waits
    result = find_inputs(tmp_path)
    names = {one.output_name.removesuffix("_segmentation.nii.gz") for one in result.inputs}
    digests = {name for name in names if name.startswith("abdomen_")}
    assert names - digests == {"a", "B", "ct", "prediction_00210.nii.gz"} and len(digests) == 2
    localizers, *others = result.skipped
    assert localizers == f"{tmp_path / 'archive' / 'scout'}: series 3, localizer (2 images)" and set(others) == {
        "segmentation.nii.gz",
        "notes.txt",
        "pair.img",
    }
    (chosen,) = find_inputs(tmp_path, series="8").inputs
    assert chosen.series.number == 8


def test_what_was_written_into_the_tree_is_no_ct(tmp_path):
    cts = ["a.nii", "b.nii.gz", "b_segmentation_old.nii.gz", "c_segmentation.nii.gz", "case_00007.nii.gz"]
    stems = ["a_segmentation", "b_segmentation", "prediction_00007"]
    ends = [".json", ".html", ".nii.gz", "_kidney_probability.nii.gz", "_tumor_probability.nii.gz"]
    ends += [".seg.nrrd", "_kidney.stl", "_tumor.stl"]
    touch(tmp_path, "kits_labels.ctbl", "kits_labels_itk_snap.txt")
    touch(tmp_path, *cts, "summary.csv", *(stem + end for stem in stems for end in ends))
    touch(tmp_path, "out/prediction_00003.nii.gz")
    (tmp_path / "out" / "prediction_00003.json").write_text('{"input_digest": "0"}')
    result = find_inputs(tmp_path)
    assert sorted(one.path.name for one in result.inputs) == cts and result.skipped == []


def test_a_list_names_files_and_trees_beside_it_and_a_faulty_line_stops_no_other(tmp_path):
    touch(tmp_path, "a.nii.gz", "folder/b.nii", "folder/c.nii.gz")
    (tmp_path / "empty").mkdir()
    lines = ["# CTs", "a.nii.gz", "", "folder", f"{tmp_path}/a.nii.gz", "folder/../a.nii.gz", "gone.nii.gz", "empty"]
    (tmp_path / "list.TXT").write_text("\n".join(lines))
    assert [path.name for path in found(tmp_path / "list.TXT").values()] == ["a.nii.gz", "b.nii", "c.nii.gz"]
    gone, empty = faults(tmp_path / "list.TXT")
    assert gone.startswith("list.TXT, line 7: ") and empty.startswith("list.TXT, line 8: ")


@pytest.mark.parametrize("name", ["gone", "empty", "text.dat", "comments.txt", "binary.txt"])
def test_where_there_is_no_ct_the_flag_is_named(tmp_path, name):
    (tmp_path / "empty").mkdir()
    touch(tmp_path, "text.dat")
    (tmp_path / "comments.txt").write_bytes(b"\n# nothing\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="^--input: "):
        find_inputs(tmp_path / name)


@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_shards_share_a_list(count):
    parts = [share_of(range(11), f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(sum(parts, [])) == list(range(11)) and max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""])
def test_other_shards_are_refused(shard):
    with pytest.raises(UsageError, match="--shard"):
        share_of([1, 2], shard)


def test_cts_of_one_name_in_different_folders_are_named_by_these(tmp_path):
    names = {"ct": "ct.nii.gz", "one_ct": "one/ct.nii.gz", "two_x_ct": "two/x/ct.nii.gz"}
    touch(tmp_path, *names.values())
    assert found(tmp_path) == {f"{name}_segmentation.nii.gz": tmp_path / path for name, path in names.items()}


def test_those_that_would_write_one_file_and_links_to_nothing_are_refused_and_no_other(tmp_path):
    touch(tmp_path, "a.nii", "a.nii.gz", "b.nii", "A.NII.GZ", "x/case_00001.nii", "y/case_00001.nii")
    (tmp_path / "b.nii.gz").symlink_to(tmp_path / "gone")
    assert sorted(found(tmp_path)) == ["A_segmentation.nii.gz", "b_segmentation.nii.gz"]
    said = faults(tmp_path)
    assert f"{tmp_path}/a.nii: would be written as a_segmentation.nii.gz, as would {tmp_path}/a.nii.gz" in said[0]
    assert len(said) == 5 and sum("b.nii.gz: is a link to a file that does not exist" in line for line in said) == 1


def test_a_linked_case_is_named_by_its_folder_and_not_by_its_target(tmp_path):
    """As data managers keep files, under a digest and linked from where they belong; or a case under another name."""
    touch(tmp_path, "store/d41d8cd9.nii.gz", "data/case_00210/other.txt")
    case = tmp_path / "data" / "case_00210"
    (case / "imaging.nii.gz").symlink_to(tmp_path / "store" / "d41d8cd9.nii.gz")
    (tmp_path / "patient").symlink_to(case)
    assert from_file(case / "imaging.nii.gz").case == "case_00210"
    assert list(found(tmp_path / "patient")) == ["prediction_00210.nii.gz"]


def test_a_damaged_series_is_a_fault_without_the_patients_name(tmp_path):
    folder = write(images(HU), tmp_path / "mustermann")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    touch(tmp_path, "a.nii.gz")
    (fault,) = faults(tmp_path)
    assert "unreadable" in fault and "mustermann" not in fault
    assert list(found(tmp_path)) == ["a_segmentation.nii.gz"]


def test_a_series_of_damaged_files_alone_is_a_fault_beside_another(tmp_path):
    folder = write(images(HU), tmp_path / "damaged")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    write(images(HU), tmp_path / "whole")
    (fault,) = faults(tmp_path)
    assert fault.startswith(f"{tmp_path}: holds 4 unreadable") and "Mustermann" not in fault
    assert list(found(tmp_path)) == ["whole_segmentation.nii.gz"]


def test_series_of_one_folder_name_get_names_of_their_own_and_a_missing_one_is_refused(tmp_path):
    """The digest of a series is that of its images."""
    made = images(HU)
    for parent, series in (("one", made), ("two", images(HU))):
        write(series, tmp_path / parent / "ct")
    one, two = find_inputs(tmp_path).inputs
    assert one.output_name != two.output_name and all(name.startswith("ct_") for name in found(tmp_path))
    with pytest.raises(UsageError, match="^--series: must be one of .*series 3: 4 images"):
        find_inputs(tmp_path, series="99")
    (same,) = find_inputs(write(made[::-1], tmp_path / "same")).inputs
    assert same.digest in (one.digest, two.digest) and one.digest != two.digest
