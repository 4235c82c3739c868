"""Fetches KiTS19 cases, labels and CTs, into the layout that the other commands read; run again, it goes on."""

import sys

from absl import flags

from kits_tf.cli import app
from kits_tf.data import download, kits19
from kits_tf.errors import UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string("output_dir", None, "Folder to write case_NNNNN folders to.", required=True, flag_values=FLAGS)
flags.DEFINE_string(
    "cases", f"0-{kits19.NUM_LABELLED - 1}", "Case numbers and ranges, e.g. 0-9,160. KiTS19 has 0-299; the labels of "
    "those from 210 on are not public.", flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_string(
    "image_url",
    download.IMAGE_URL,
    "Address of a CT; {case} stands for case_00007, {number} for 7. Empty: fetch no CTs.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "label_url", download.LABEL_URL, "Address of a label file. Empty: fetch no labels.", flag_values=FLAGS
)
flags.DEFINE_integer("workers", 4, "Files to fetch at the same time.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer(
    "tries", 6, "Attempts in a row without a byte before a file is given up.", lower_bound=1, flag_values=FLAGS
)
flags.DEFINE_float(
    "timeout_s", 30.0, "Seconds of silence after which a connection is dropped.", lower_bound=0.01, flag_values=FLAGS,
)  # fmt: skip


def main():
    """Fetches the files that the flags name; returns the exit code."""
    numbers = kits19.parse_cases(FLAGS.cases)
    for flag in ("image_url", "label_url"):
        check_template(flag, FLAGS[flag].value)
    if not (FLAGS.image_url or FLAGS.label_url):
        raise UsageError("image_url", "is empty, as is --label_url; there is nothing to fetch")
    wanted = download.transfers(numbers, FLAGS.output_dir, FLAGS.image_url, FLAGS.label_url)
    check_cases(numbers, wanted)
    app.check_output_folder("output_dir", FLAGS.output_dir)
    patience = download.Patience(tries=FLAGS.tries, timeout_s=FLAGS.timeout_s)
    failures = download.download(wanted, FLAGS.workers, patience, complain)
    if failures:
        print(f"{len(failures)} of {len(wanted)} files are missing; run again to try for them", file=sys.stderr)
        return app.EXIT_SOME_FAILED
    cases = {transfer.case for transfer in wanted}
    bare = cases - {transfer.case for transfer in wanted if transfer.path.name == kits19.LABEL_NAME}
    told = f", {len(bare)} of them without labels, which are not public" if bare and FLAGS.label_url else ""
    print(f"{len(cases)} cases in {FLAGS.output_dir}{told}")
    return app.EXIT_DONE


def check_cases(numbers, wanted):
    """A UsageError where KiTS19's own hosts are asked for cases that it does not have, or for no file at all."""
    is_default = download.IMAGE_URL == FLAGS.image_url or download.LABEL_URL == FLAGS.label_url
    if is_default and numbers[-1] >= kits19.NUM_CASES:
        other = f"{numbers[-1]} takes both --image_url and --label_url, where an empty one fetches none"
        raise UsageError("cases", f"takes KiTS19's 0-{kits19.NUM_CASES - 1}; {other}")
    if not wanted:
        raise UsageError("cases", f"takes 0-{kits19.NUM_LABELLED - 1} for labels alone; later ones are not public")


def check_template(flag, template):
    """A UsageError unless an address is empty or names the case."""
    if not template:
        return
    try:
        first, second = (template.format(case=f"case_{number:05d}", number=number) for number in (0, 1))
    except (KeyError, IndexError, ValueError):
        raise UsageError(flag, f"{template!r}: takes an address with {{case}} or {{number}} in it") from None
    if first == second or not first.startswith(("http://", "https://")):
        raise UsageError(flag, f"{template!r}: takes an http or https address with {{case}} or {{number}} in it")


def complain(error):
    """Prints what is wrong with a file, in one line."""
    print(" ".join(str(error).split()), file=sys.stderr, flush=True)


def run():
    """The console command kits-download."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
