"""What `--input` names: CT files one by one, and the names of what is written for each."""

import collections
import dataclasses
import pathlib
import re

from kits_tf.data import kits19
from kits_tf.data.records import find_records, is_prepared
from kits_tf.errors import InputError, UsageError
from kits_tf.io import dicom, nifti

LIST_SUFFIX = ".txt"
WRITTEN = re.compile(r"(prediction_\d{5}|.*_segmentation)(_(kidney|tumor)_probability)?\.nii\.gz")
PAIR_HEADER = re.compile(r"\.hdr(\.gz)?\Z")
SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclasses.dataclass(frozen=True)
class Input:
    """One CT to segment.

    Attributes:
        path: the file to read, or a DICOM series' folder.
        output_name: the file to write, without a folder; where there is a fault, none is.
        case: the KiTS19 case id, or None.
        series: the `kits_tf.io.dicom.Series`, or None for a file.
        fault: why it cannot be read or written, or why a line of a list names no CT, raised in place of reading it; or
            None.
    """

    path: pathlib.Path
    output_name: str
    case: str | None = None
    series: dicom.Series | None = None
    fault: InputError | None = None

    @property
    def name(self):
        """What it is called in the JSON, in reports and on the terminal; a DICOM series by nothing out of it."""
        if self.fault:
            return self.fault.path
        return self.case or (self.series.name if self.series else self.path.name)

    @property
    def where(self):
        """What messages about it begin with; names no patient of a DICOM series."""
        if self.fault:
            return self.fault.path
        return self.series.where if self.series else self.path

    def shown(self, path):
        """What messages call a file written for it: its path, or for a DICOM series what its labels are called."""
        return self.output_name if self.series else path

    @property
    def place(self):
        """Where the CT itself lies: the same for one that is named twice, in whatever spelling."""
        return self.path.resolve(), self.series and self.series.uid

    @property
    def written_names(self):
        """The names of the NIfTI files that may be written for it: labels and probabilities."""
        stem = self.output_name.removesuffix(".nii.gz")
        return {self.output_name, *(stem + suffix for suffix in kits19.PROBABILITY_SUFFIXES.values())}


def find_inputs(path, series=None):
    """The CTs of a NIfTI file, a folder of them, a case folder, a KiTS19-layout or prepared folder, a DICOM series.

    Args:
        path: what `--input` names; a file `.txt` lists any of these, one a line.
        series: a Series Number or Series Instance UID, where a folder holds several DICOM series.

    Raises:
        InputError: a DICOM file is damaged, or none of them is a CT.
        UsageError: there is no such file or folder, nothing in it to segment, several series and none was chosen, or
            one was chosen and there is none. What is wrong with a line of a list, or with one file of a folder,
            becomes the `fault` of its Input instead.
    """
    path = pathlib.Path(path)
    found = _find(path, series)
    is_list = path.is_file()  # a line with a fault may have named the series
    if series and not any(source.series or (is_list and source.fault) for source in found):
        raise UsageError("series", f"{path} holds no DICOM series; the flag chooses one")
    return found


def _find(path, series):
    """The CTs that a path names; a series that is not there to be chosen is passed over."""
    if path.is_file():
        if path.suffix.lower() == LIST_SUFFIX:
            return [source for number, line in listed(path) for source in from_line(path, number, line, series)]
        if not nifti.is_nifti(path):
            hint = "; a DICOM series is named by its folder" if dicom.is_dicom(path) else ""
            raise UsageError("input", f"{path} is not a NIfTI file (.nii or .nii.gz){hint}")
        return [from_file(path)]
    if not path.is_dir():
        raise UsageError("input", f"{path}: no such file or folder")
    inputs = from_folder(path)
    if (series or all_faulty(inputs) or any(map(looks_written, inputs))) and dicom.holds_dicom(path):
        found = dicom.find_series(path)
        written = {name for one in found for name in from_series(one).written_names}
        inputs = [source for source in inputs if source.path.name not in written]
        if series or all_faulty(inputs):
            inputs = [from_series(dicom.choose(found, series))]
    if not inputs:
        what = f"no NIfTI file, no DICOM series and no case_NNNNN folder with {kits19.IMAGE_NAME}"
        raise UsageError("input", f"{path} holds {what}")
    return inputs


def listed(path):
    """The (number, path) of a list's lines, relative to the list's own folder; empty and `#` lines are passed over.

    Raises:
        UsageError: the file is no text, or lists nothing, or a list.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except ValueError:
        raise UsageError("input", f"{path} is not a list of paths, one a line") from None
    paths = [(n, path.parent / line) for n, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not paths:
        raise UsageError("input", f"{path} lists nothing")
    if any(line.suffix.lower() == LIST_SUFFIX for _, line in paths):
        raise UsageError("input", f"{path} lists another list")
    return paths


def from_line(path, number, line, series):
    """The CTs that a line of a list names; where they cannot be found, one that has a `fault` and stops no other."""
    try:
        return _find(line, series)
    except (InputError, UsageError) as error:
        reason = error.reason if isinstance(error, UsageError) else error
        fault = InputError(f"{path.name}, line {number}", reason)
        return [Input(line, f"line_{number}_segmentation.nii.gz", fault=fault)]


def unique(sources):
    """The inputs, each once, with an output name of its own: others that would write the same file get a `fault`."""
    alike = collections.defaultdict(dict)
    for source in sources:
        if not source.fault:
            alike[source.output_name].setdefault(source.place, source)
    once = [s for s in sources if s.fault or s is alike[s.output_name][s.place]]
    told = [source if source.fault else alone(source, alike[source.output_name].values()) for source in once]
    return [dataclasses.replace(s, output_name=f"fault {n}") if s.fault else s for n, s in enumerate(told, 1)]


def alone(source, alike):
    """The Input, with a `fault` if another of those of its output name is there."""
    other = next((one for one in alike if one is not source), None)
    if other is None:
        return source
    return faulty(source, f"would be written as {source.output_name}, as would {other.where}")


def share_of(sources, shard):
    """The part of a list that `--shard=I/N` names: every N-th one from the I-th.

    Raises:
        UsageError: it is not of that form, or I is not between 1 and N.
    """
    match = SHARD.fullmatch(shard)
    number, count = (int(group) for group in match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise UsageError("shard", f"takes I/N with I from 1 to N, such as 2/8; not {shard!r}")
    return sources[number - 1 :: count]


def from_folder(folder):
    """The CTs of a folder, whichever kind it is, without what was written for them; an empty list if it is none.

    A link to nothing and a pair of Analyze files get a `fault`.
    """
    image = folder / kits19.IMAGE_NAME
    if image.is_file() or leads_nowhere(image):
        return [from_file(image)]
    if is_prepared(folder):
        return [from_case(record, record.name.split(".")[0]) for record in find_records(folder)]
    cases = kits19.find_cases(folder)
    if cases:
        return [from_case(case.folder / kits19.IMAGE_NAME, case.id) for case in cases]
    paths = sorted(folder.iterdir())
    found = [from_file(path) for path in paths if nifti.is_nifti(path) and (path.is_file() or leads_nowhere(path))]
    written = {name for source in found for name in source.written_names}
    return [source for source in found if source.path.name not in written] + from_pairs(paths)


def from_pairs(paths):
    """An Input with a `fault` for each pair of `.hdr` and `.img` among a folder's files."""
    names = {path.name.lower() for path in paths}
    headers = [path for path in paths if PAIR_HEADER.search(path.name.lower()) and not path.name.startswith(".")]
    pairs = [path for path in headers if PAIR_HEADER.sub(r".img\1", path.name.lower()) in names]
    reason = "is the header of a pair of files (.hdr, .img); takes a CT as one file, .nii or .nii.gz"
    return [faulty(from_file(path), reason) for path in pairs]


def faulty(source, reason):
    """The Input with a `fault`."""
    return dataclasses.replace(source, fault=InputError(source.where, reason))


def all_faulty(sources):
    """Whether none can be segmented."""
    return all(source.fault for source in sources)


def leads_nowhere(path):
    """Whether a file is a link to one that is not there."""
    return path.is_symlink() and not path.exists()


def looks_written(source):
    """Whether a file's name is such as segmentations and probabilities get."""
    return WRITTEN.fullmatch(source.path.name) is not None


def from_file(path):
    """The Input of a NIfTI file; `case_00210/imaging.nii.gz` and `case_00210.nii.gz` are KiTS19 cases."""
    stem = nifti.stem(path)
    case = path.parent.resolve().name if path.name == kits19.IMAGE_NAME else stem
    if kits19.case_number(case) is not None:
        source = from_case(path, case)
    else:
        source = Input(path, f"{stem}_segmentation.nii.gz")
    return faulty(source, "is a link to a file that is not there") if leads_nowhere(path) else source


def from_case(path, case):
    """The Input of a KiTS19 case, written under the challenge's own name: `prediction_00210.nii.gz`."""
    return Input(path, kits19.prediction_name(case), case)


def from_series(series):
    """The Input of a DICOM series, named by its folder."""
    if kits19.case_number(series.name) is not None:
        return dataclasses.replace(from_case(series.folder, series.name), series=series)
    return Input(series.folder, f"{series.name}_segmentation.nii.gz", series=series)
