"""Proves which CTs a list names, and which part of them a shard takes."""

import pytest

from kits_tf.errors import UsageError
from kits_tf.inference.inputs import find_inputs, from_file, share_of, unique
from tests.tiny import small_ct


def test_a_list_names_files_and_folders_beside_it(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("a.nii.gz", "folder/b.nii", "folder/c.nii.gz"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text(f"# CTs\na.nii.gz\n\nfolder\n{tmp_path}/a.nii.gz\n")
    found = [source.path.name for source in find_inputs(tmp_path / "list.txt")]
    assert found == ["a.nii.gz", "b.nii", "c.nii.gz", "a.nii.gz"]


@pytest.mark.parametrize(
    "content, said",
    [(b"\n# nothing\n", "lists nothing"), (b"\xff\xfe\x00", "not a list"), (b"list.txt", "another list")],
)
def test_a_list_of_nothing_is_refused(tmp_path, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        find_inputs(tmp_path / "list.txt")


@pytest.mark.parametrize("count", (1, 2, 3, 7, 20))
def test_shards_share_a_list_out(count):
    sources = list(range(11))
    parts = [share_of(sources, f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(sum(parts, [])) == sources
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("shard", ("0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/4/2", ""))
def test_other_shards_are_refused(shard):
    with pytest.raises(UsageError, match="--shard"):
        share_of([1, 2], shard)


def test_what_was_written_into_a_folder_of_cts_is_no_ct(tmp_path):
    cts = ["a.nii", "b.nii.gz", "b_segmentation_old.nii.gz", "c_segmentation.nii.gz", "case_00007.nii.gz"]
    stems = ["a_segmentation", "b_segmentation", "prediction_00007"]
    ends = [".json", ".nii.gz", "_kidney_probability.nii.gz", "_tumor_probability.nii.gz"]
    for name in [*cts, *(stem + end for stem in stems for end in ends)]:
        (tmp_path / name).touch()
    assert [source.path.name for source in find_inputs(tmp_path)] == cts


def test_a_line_that_names_nothing_is_the_fault_of_its_line_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "list.txt").write_text("gone.nii.gz\na.nii.gz\nempty\n")
    gone, good, empty = find_inputs(tmp_path / "list.txt")
    assert (good.path.name, good.fault) == ("a.nii.gz", None)
    assert str(gone.fault).startswith("list.txt, line 1: ") and "gone.nii.gz: no such file" in str(gone.fault)
    assert str(empty.fault).startswith("list.txt, line 3: ") and "holds no NIfTI" in str(empty.fault)


def test_what_was_written_into_the_folder_of_a_series_is_no_ct(tmp_path):
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    folder = write(images(small_ct((4, 20, 24))), tmp_path / "scan")
    names = ["scan_segmentation", "scan_segmentation_kidney_probability", "scan_segmentation_tumor_probability"]
    for name in names:
        (folder / f"{name}.nii.gz").touch()
    (source,) = find_inputs(folder)
    assert source.series and source.output_name == "scan_segmentation.nii.gz"
    (folder / "other.nii.gz").touch()
    assert [source.path.name for source in find_inputs(folder)] == ["other.nii.gz"]
    (source,) = find_inputs(folder, series="3")
    assert source.series.number == 3


def test_a_damaged_series_in_a_list_is_the_fault_of_its_line_alone(tmp_path):
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    folder = write(images(small_ct((4, 20, 24))), tmp_path / "mustermann")
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:400])
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "list.txt").write_text("# CTs\nmustermann\na.nii.gz\n")
    damaged, good = find_inputs(tmp_path / "list.txt")
    assert (good.path.name, good.fault) == ("a.nii.gz", None)
    assert str(damaged.fault).startswith("list.txt, line 2: ") and "damaged DICOM" in str(damaged.fault)
    assert damaged.name == damaged.where == "list.txt, line 2"
    assert "mustermann" not in f"{damaged.fault} {damaged.output_name}"


def test_a_linked_case_is_named_by_its_folder_and_not_by_its_target(tmp_path):
    """As data managers keep files, under a digest and linked from where they belong; or a case under another name."""
    store, case = tmp_path / "store", tmp_path / "data" / "case_00210"
    store.mkdir()
    case.mkdir(parents=True)
    (store / "d41d8cd9.nii.gz").touch()
    (case / "imaging.nii.gz").symlink_to(store / "d41d8cd9.nii.gz")
    assert from_file(case / "imaging.nii.gz").case == "case_00210"
    (tmp_path / "patient").symlink_to(case)
    assert from_file(tmp_path / "patient" / "imaging.nii.gz").case == "case_00210"


def test_those_that_would_write_one_file_have_a_fault_and_no_other(tmp_path):
    names = ("a.nii", "a.nii.gz", "b.nii", "A.NII.GZ")
    first, second, other, large = unique([from_file(tmp_path / name) for name in names])
    for one, another in ((first, "a.nii.gz"), (second, "a.nii")):
        clash = f"would be written as a_segmentation.nii.gz, as would {tmp_path / another}"
        assert str(one.fault) == f"{one.path}: {clash}"
    assert [source.fault for source in (other, large)] == [None, None]
    assert len({source.output_name for source in (first, second, other, large)}) == 4
    assert unique([other]) == [other]


def test_one_with_a_fault_takes_no_name_from_a_good_one(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "gone")
    (tmp_path / "a.nii").touch()
    good, lost = unique(find_inputs(tmp_path))
    assert (good.path.name, good.output_name, good.fault) == ("a.nii", "a_segmentation.nii.gz", None)
    assert "link" in str(lost.fault) and lost.output_name != good.output_name


def test_names_in_capital_letters_are_nifti_too(tmp_path):
    for name in ("A.NII.GZ", "B.Nii", "CT.nii.GZ"):
        (tmp_path / name).touch()
    found = {source.path.name: source.output_name for source in find_inputs(tmp_path)}
    assert found == {
        "A.NII.GZ": "A_segmentation.nii.gz",
        "B.Nii": "B_segmentation.nii.gz",
        "CT.nii.GZ": "CT_segmentation.nii.gz",
    }
    (source,) = find_inputs(tmp_path / "A.NII.GZ")
    assert source.fault is None


def test_a_link_to_nothing_is_the_fault_of_its_ct_alone(tmp_path):
    (tmp_path / "lost.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    for name in ("good.nii.gz", "lost_segmentation.nii.gz"):
        (tmp_path / name).touch()
    good, lost = find_inputs(tmp_path)
    assert (good.path.name, good.fault) == ("good.nii.gz", None)
    assert str(lost.fault) == f"{tmp_path / 'lost.nii.gz'}: is a link to a file that is not there"
    case = tmp_path / "case_00210"
    case.mkdir()
    (case / "imaging.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (case / "segmentation.nii.gz").touch()
    (lost,) = find_inputs(case)
    assert "is a link to" in str(lost.fault)


def test_a_pair_of_analyze_files_is_told_to_be_none(tmp_path):
    for name in ("a.hdr", "a.img", "B.HDR.GZ", "b.img.gz", "c.hdr", "d.img", ".e.hdr", ".e.img", "good.nii.gz"):
        (tmp_path / name).touch()
    good, *pairs = find_inputs(tmp_path)
    assert (good.path.name, good.fault) == ("good.nii.gz", None)
    assert sorted(source.path.name for source in pairs) == ["B.HDR.GZ", "a.hdr"]
    assert all("one file, .nii or .nii.gz" in str(source.fault) for source in pairs)


def test_a_series_beside_what_has_a_fault_is_found(tmp_path):
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    folder = write(images(small_ct((4, 20, 24))), tmp_path / "scan")
    for name in ("map.hdr", "map.img"):
        (folder / name).touch()
    (source,) = find_inputs(folder)
    assert source.series and source.fault is None


def test_a_fault_names_no_series(tmp_path):
    (tmp_path / "lost.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    (tmp_path / "good.nii.gz").touch()
    with pytest.raises(UsageError, match="^--series: .* holds no DICOM series"):
        find_inputs(tmp_path, series="3")


def test_a_series_is_chosen_only_where_there_is_one(tmp_path):
    for name in ("a.nii.gz", "folder/b.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_text("a.nii.gz\nfolder\n")
    for name in ("a.nii.gz", "folder", "list.txt"):
        with pytest.raises(UsageError, match=f"^--series: .*{name} holds no DICOM series"):
            find_inputs(tmp_path / name, series="3")


def test_of_a_list_a_series_is_chosen_where_there_is_one(tmp_path):
    pytest.importorskip("highdicom")
    from tests.io.dicom_files import images, write

    write(images(small_ct((4, 20, 24))), tmp_path / "scan")
    (tmp_path / "a.nii.gz").touch()
    (tmp_path / "list.txt").write_text("a.nii.gz\nscan\n")
    assert [source.series is None for source in find_inputs(tmp_path / "list.txt", series="3")] == [True, False]
