"""The CT series of a folder: found by their headers, listed without anything that names a patient."""

import dataclasses
import pathlib

from kits_tf.errors import InputError, UsageError
from kits_tf.io.dicom.privacy import identifying_words, names_patient, quiet, safe_name, uid_digest

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_GEOMETRY = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "SamplesPerPixel",
)  # fmt: skip
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID")
_IDENTITY = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber", "ImageType", "PatientName",
    "PatientID", "AccessionNumber", "StudyID", "PatientBirthDate", "OtherPatientIDs",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Header:
    """One image's file and what its header says of itself and its place.

    Attributes:
        path: its file.
        dataset: pydicom Dataset with the elements read, pixels left out.
    """

    path: pathlib.Path
    dataset: object = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Series:
    """One CT series.

    Attributes:
        folder: the folder it was looked for in.
        uid: Series Instance UID.
        number: Series Number, or None.
        headers: its images in no order, no instance twice.
        name: what its files are written under: the folder's name, with the series' number where there are several;
            names no patient.
        where: what messages call it: the folder, or where its path names the patient, `name`'s digest.
    """

    folder: pathlib.Path
    uid: str
    number: int | None
    headers: tuple = dataclasses.field(repr=False)
    name: str
    where: str

    def describe(self):
        """Such as "series 3: 88 images of 512x512"."""
        first = self.headers[0].dataset
        number = "without a number" if self.number is None else self.number
        count = f"{len(self.headers)} {'image' if len(self.headers) == 1 else 'images'}"
        return f"series {number}: {count} of {first.get('Rows')}x{first.get('Columns')}"


def holds_dicom(folder):
    """Whether any file in a folder or below it begins as a DICOM file does."""
    return any(is_dicom(path) for path in _files(pathlib.Path(folder)))


def is_dicom(path):
    """Whether a file begins as a DICOM file does: 128 bytes, then DICM."""
    try:
        with open(path, "rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def find_series(folder):
    """The CT series in a folder and below it.

    Localizers and whatever is no CT image are passed over, and so is a second copy of the same instance.

    Args:
        folder: the folder.

    Returns:
        List of `Series`, by number.

    Raises:
        UsageError: pydicom is not installed.
        InputError: there is no CT image, or a header cannot be read; the folder is named unless its path names a
            patient, or no header says whether it does.
    """
    require_pydicom()
    folder = pathlib.Path(folder)
    headers, damage = _read_headers(folder)
    by_uid = {}
    for header in headers:
        if _is_ct_slice(header.dataset):
            instances = by_uid.setdefault(str(header.dataset.SeriesInstanceUID), {})
            instances.setdefault(str(header.dataset.SOPInstanceUID), header)
    if damage or not by_uid:
        raise InputError(_nameless(folder, headers), f"holds {damage or _instead_of_ct(headers)}")
    found = [_series(folder, uid, tuple(instances.values())) for uid, instances in by_uid.items()]
    if len(found) > 1:
        found = [dataclasses.replace(one, name=_numbered(one, found)) for one in found]
    return sorted(found, key=lambda series: (series.number is None, series.number, series.uid))


def choose(series, wanted=None):
    """The one series that is meant.

    Args:
        series: list of `Series` of one folder.
        wanted: a Series Number or a Series Instance UID as text, or None.

    Raises:
        UsageError: there are several and none was named, or the one named is not there; the message lists them.
    """
    if wanted:
        chosen = [one for one in series if wanted in (str(one.number), one.uid)]
    else:
        chosen = series
    if len(chosen) == 1:
        return chosen[0]
    listed = "; ".join(one.describe() for one in series[:20])
    if len(chosen) > 1 and wanted:
        listed += "; name it by its Series Instance UID"
    raise UsageError("series", f"takes one of the series in {series[0].where}: {listed}")


def require_pydicom():
    """Raises a UsageError that names the extra to install where the libraries are missing."""
    try:
        import highdicom  # noqa: F401
        import pydicom  # noqa: F401
    except ImportError:
        raise UsageError("input", "a DICOM series needs this package's extra `dicom` (pydicom, highdicom)") from None


def _files(folder):
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))


def _read_headers(folder):
    """The headers of all DICOM files in a folder and below it, and what is wrong with one of them, or None."""
    headers, damage = [], None
    for path in filter(is_dicom, _files(folder)):
        try:
            headers.append(_read_header(path))
        except _DamagedError as error:
            damage = f"a damaged DICOM file ({error})"
    return headers, damage


class _DamagedError(Exception):
    """A header that cannot be read; its text quotes nothing of it."""


def _read_header(path):
    import pydicom

    try:
        with quiet():
            dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*_IDENTITY, *_GEOMETRY])
            for element in dataset:  # values are converted when first used: better here than later
                element.value  # noqa: B018
    except Exception as error:  # a damaged file can raise anything, and the text of it may quote the header
        raise _DamagedError(type(error).__name__) from None
    promised = dataset.file_meta.get("MediaStorageSOPClassUID")
    if promised == CT_IMAGE and not all(dataset.get(key) for key in _NEEDED):
        raise _DamagedError("it ends inside its header")
    return Header(path, dataset)


def _instead_of_ct(headers):
    """What a folder without a CT slice holds."""
    if any(header.dataset.get("SOPClassUID") in ENHANCED_CT for header in headers):
        return "only multi-frame (enhanced) CT; single-frame CT images are read"
    return "no CT image"


def _nameless(folder, headers):
    """What a message calls a folder: its path, or where that may name a patient, what it is."""
    words = {word for header in headers for word in identifying_words(header.dataset)}
    return folder if headers and not names_patient(str(folder), words) else "the folder of DICOM files"


def _is_ct_slice(dataset):
    is_ct = all(dataset.get(key) for key in _NEEDED) and dataset.SOPClassUID == CT_IMAGE
    return is_ct and "LOCALIZER" not in (dataset.get("ImageType") or ())


def _numbered(series, found):
    """The name of one of a folder's several series, which no other has: with its number, or a digest of its UID."""
    alone = [one.number for one in found].count(series.number) == 1
    return f"{series.name}_{series.number if alone and series.number is not None else uid_digest(series.uid)}"


def _series(folder, uid, headers):
    first = headers[0].dataset
    number = first.get("SeriesNumber")
    words = identifying_words(first)
    return Series(
        folder=folder,
        uid=uid,
        number=None if number is None else int(number),
        headers=headers,
        name=safe_name(folder.resolve().name, words, uid),
        where=safe_name(str(folder), words, uid),
    )
