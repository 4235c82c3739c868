"""Download KiTS19 cases in the layout that the other commands read. Rerun it to fetch what is missing.

kits-download --output_dir=kits19/data --cases=0-9
"""

from __future__ import annotations

from absl import flags

from kits_tf.cli import app
from kits_tf.data import download, kits19
from kits_tf.errors import UsageError
from kits_tf.progress import counted, progress


class _TemplateParser(flags.ArgumentParser):
    """Parses an address with a placeholder; empty is None."""

    syntactic_help = "an http or https address with {case} or {number} in it, or empty"

    def parse(self, argument: str | None) -> str | None:
        """Return the address; raise ValueError if it does not name the case."""
        if not argument:
            return None
        try:
            addresses = {argument.format(case=f"case_{number:05d}", number=number) for number in (0, 1)}
        except (KeyError, IndexError):
            raise ValueError(argument) from None
        if len(addresses) < 2 or not argument.startswith(("http://", "https://")):
            raise ValueError(argument)
        return argument


FLAGS = flags.FlagValues()

flags.DEFINE_string("output_dir", None, "Folder to write the case_NNNNN folders to.", required=True, flag_values=FLAGS)
flags.DEFINE_string("cases", "0-209", "Cases, such as 0-9,160, up to 299; only 0 to 209 have labels.",
                    flag_values=FLAGS)  # fmt: skip
for _name, _default, _what in (("image_url", download.IMAGE_URL, "CT"), ("label_url", download.LABEL_URL, "label")):
    _help = f"URL of a {_what} file; {{case}} stands for case_00007, {{number}} for 7. Empty: no {_what} files."
    flags.DEFINE(_TemplateParser(), _name, _default, _help, flag_values=FLAGS)
flags.DEFINE_integer("workers", 4, "Files to download at once.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_integer("attempts", 6, "Attempts per file.", lower_bound=1, flag_values=FLAGS)
flags.DEFINE_float(
    "timeout_seconds", 30.0, "Time without data that ends an attempt.", lower_bound=0.01, flag_values=FLAGS
)


def main() -> int:
    """Download the files that the flags name and return the exit code."""
    numbers = kits19.parse_cases(FLAGS.cases)
    if not (FLAGS.image_url or FLAGS.label_url):
        raise UsageError("image_url", "must not be empty if --label_url is")
    is_default = download.IMAGE_URL == FLAGS.image_url or download.LABEL_URL == FLAGS.label_url
    if is_default and numbers[-1] >= kits19.NUM_CASES:
        raise UsageError("cases", f"must be in KiTS19's 0-{kits19.NUM_CASES - 1}, got {numbers[-1]}")
    urls = download.case_files(numbers, FLAGS.image_url, FLAGS.label_url)
    if not urls:
        raise UsageError("cases", f"must be in 0-{kits19.NUM_LABELLED - 1} for labels alone; others are not public")
    app.check_output_folder("output_dir", FLAGS.output_dir)
    results = download.download(urls, FLAGS.output_dir, FLAGS.workers, FLAGS.attempts, FLAGS.timeout_seconds)
    failures = 0
    for error in progress(results, "Downloading", len(urls), unit="file"):
        if error is not None:
            failures += 1
            app.complain("kits-download", error)
    if failures:
        app.complain("kits-download", f"{failures} of {counted(len(urls), 'file')} missing; run again to retry")
        return app.EXIT_SOME_FAILED
    cases = {name.partition("/")[0] for name in urls}
    bare = len(cases) - sum(name.endswith(kits19.LABEL_NAME) for name in urls)
    note = f", {bare} of them without labels, which are not public" if bare and FLAGS.label_url else ""
    print(f"{counted(len(cases), 'case')} in {FLAGS.output_dir}{note}")
    return app.EXIT_DONE


def run() -> None:
    """Run the console command kits-download."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
