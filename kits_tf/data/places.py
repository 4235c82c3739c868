"""Where prepared data lie: at a local path, or at an address such as gs://bucket/prepared that TensorFlow reads."""

import contextlib
import dataclasses
import pathlib

from kits_tf import files


@dataclasses.dataclass(frozen=True, order=True)
class Address:
    """What this package uses of `pathlib.Path`, for an address that TensorFlow's file systems know."""

    text: str

    def __str__(self):
        return self.text

    def __truediv__(self, name):
        return Address(f"{self.text.rstrip('/')}/{name}")

    @property
    def name(self):
        """What stands after the last slash."""
        return self.text.rpartition("/")[2]

    @property
    def parent(self):
        """What stands before the last slash."""
        return Address(self.text.rpartition("/")[0])

    def is_file(self):
        """Whether there is something to read."""
        import tensorflow as tf

        return tf.io.gfile.exists(self.text) and not tf.io.gfile.isdir(self.text)

    def stat(self):
        """A Status of the file."""
        import tensorflow as tf

        status = tf.io.gfile.stat(self.text)
        return Status(status.length, status.mtime_nsec)

    def read_text(self, encoding="utf-8"):
        """The content as text; FileNotFoundError where there is none."""
        import tensorflow as tf

        try:
            with tf.io.gfile.GFile(self.text, "rb") as file:
                return file.read().decode(encoding)
        except tf.errors.NotFoundError:
            raise FileNotFoundError(self.text) from None


@dataclasses.dataclass(frozen=True)
class Status:
    """Size in bytes and time of change in ns, named as in `os.stat_result`."""

    st_size: int
    st_mtime_ns: int


def place(path):
    """A pathlib.Path, or an Address where `path` is one."""
    if isinstance(path, Address):
        return path
    return Address(str(path)) if "://" in str(path) else pathlib.Path(path)


@contextlib.contextmanager
def replacing(path):
    """Where to write what becomes `path` when the block ends; see `files.replacing`.

    An address is written to itself: a bucket shows an object once the whole of it is there.
    """
    if isinstance(path, Address):
        yield path
        return
    with files.replacing(path) as temporary:
        yield temporary
