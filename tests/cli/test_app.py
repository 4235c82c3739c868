"""Proves the shared entry: exit codes, one-line messages, help, flag files; on a command made up here."""

import signal
import subprocess
import sys
import textwrap

import pytest
from absl import flags

import kits_tf
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError


@pytest.fixture(name="toy")
def toy_flags():
    """The flags of a made-up command."""
    values = flags.FlagValues()
    flags.DEFINE_string("input", None, "A file to read.", required=True, flag_values=values, module_name="Input")
    flags.DEFINE_integer("num_cases", 3, "How many.", lower_bound=1, flag_values=values)
    flags.DEFINE_enum("stage", "both", ["both", "kidney"], "What to do.", flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Do it again.", flag_values=values)
    flags.DEFINE_multi_string("set", [], "KEY=VALUE.", flag_values=values)
    flags.register_validator("num_cases", lambda n: n != 13, "must be any number but 13", flag_values=values)
    return values


def run(values, *arguments, main=lambda: 0):
    """The exit code of the made-up command."""
    return app.execute(main, values, ["kits-toy", *arguments])


def test_main_sees_the_flags_and_its_code_comes_back(toy):
    seen = []

    def main():
        seen.append((toy.input, toy.num_cases, toy.stage, toy.overwrite, toy.set))
        return 1

    arguments = ["--input=a", "--num_cases", "5", "--stage=kidney", "--overwrite", "--set=a=1", "--set=b=2"]
    assert run(toy, *arguments, main=main) == 1
    assert seen == [("a", 5, "kidney", True, ["a=1", "b=2"])]


def test_a_second_call_forgets_the_first(toy):
    assert run(toy, "--input=a", "--num_cases=5", "--set=a=1") == 0
    assert run(toy, "--input=b") == 0
    assert (toy.input, toy.num_cases, toy.set) == ("b", 3, [])
    assert run(toy, "--num_cases=5") == 2


def test_no_code_counts_as_success(toy):
    assert run(toy, "--input=a", main=lambda: None) == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["--input", "is required; --help"]),
        (["--input"], ["--input", "needs a value"]),
        (["--input="], ["--input", "empty"]),
        (["--input=a", "--num_cases=x"], ["--num_cases", "a positive integer", "'x'"]),
        (["--input=a", "--num_cases=0"], ["--num_cases", "a positive integer", "'0'"]),
        (["--input=a", "--num_cases=13"], ["--num_cases", "any number but 13"]),
        (["--input=a", "--stage=tumour"], ["--stage", "both or kidney", "'tumour'"]),
        (["--input=a", "--overwrite=maybe"], ["--overwrite", "true or false", "'maybe'"]),
        (["--inputs=a"], ["--inputs", "no such flag", "input ?"]),
        (["--zzz"], ["--zzz", "no such flag", "--help"]),
        (["--input=a", "stray.nii"], ["stray.nii", "not a flag"]),
        (["stray.nii", "--input=a"], ["stray.nii", "not a flag"]),
        (["--input=a", "--", "--num_cases=2"], ["--num_cases=2", "not a flag"]),
        (["--flagfile=/nowhere/flags.txt"], ["--flagfile", "/nowhere/flags.txt"]),
        (["--flagfile"], ["--flagfile"]),
        (["--input=a\nb", "--num_cases=x\ny"], ["--num_cases"]),
    ],
)
def test_unusable_flags_give_one_line_and_two(toy, capsys, arguments, words):
    assert run(toy, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("kits-toy: ")
    for word in words:
        assert word in err


def test_a_flag_may_be_required_unless_another_is_set(toy, capsys):
    flags.DEFINE_string("folder", None, "A folder.", flag_values=toy)
    app.require_unless("overwrite", ["folder"], toy)
    assert run(toy, "--input=a", "--overwrite") == run(toy, "--input=a", "--folder=b") == 0
    assert run(toy, "--input=a") == 2
    assert capsys.readouterr().err.startswith("kits-toy: --folder: is required unless --overwrite;")


@pytest.mark.parametrize(
    "error, line",
    [
        (UsageError("cases", "takes ids or\nranges"), "kits-toy: --cases: takes ids or ranges\n"),
        (InputError("a.nii.gz", "is not a NIfTI file"), "kits-toy: a.nii.gz: is not a NIfTI file\n"),
        (PermissionError(13, "Permission denied", "out"), "kits-toy: out: Permission denied\n"),
    ],
)
def test_faults_of_the_user_give_one_line_and_two(toy, capsys, error, line):
    def main():
        raise error

    assert run(toy, "--input=a", main=main) == 2
    assert capsys.readouterr().err == line


def test_faults_of_the_program_are_not_hidden(toy):
    with pytest.raises(ZeroDivisionError):
        run(toy, "--input=a", main=lambda: 1 // 0)


@pytest.mark.parametrize("text", ["interrupted", "interrupted; step 7 is saved"])
def test_interrupt_is_one_line(toy, capsys, text):
    def main():
        raise KeyboardInterrupt(*([text] if ";" in text else []))

    assert run(toy, "--input=a", main=main) == 130
    assert capsys.readouterr().err == f"kits-toy: {text}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--num_cases=x", "--help"], ["--zzz", "--helpfull"]])
def test_help_describes_the_command_and_its_flags_in_groups(toy, capsys, arguments):
    assert run(toy, *arguments, main=lambda: 1 // 0) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "kits-toy [flags]" in out
    assert "Proves the shared entry" in out  # this module's docstring
    for text in ["Input:\n  --input", "(default: '3')", "both|kidney", "--[no]overwrite", "--flagfile", "--version"]:
        assert text in out
    for absent in ["verbosity", "logtostderr", "only_check_args", "undefok", "pdb"]:
        assert absent not in out


def test_version(toy, capsys):
    assert run(toy, "--version") == 0
    assert capsys.readouterr().out == f"kits-toy {kits_tf.__version__}\n"


def test_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    app.check_output_folder("output_dir", tmp_path / "new" / "deeper")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="--output_dir: .*file is a file"):
        app.check_output_folder("output_dir", tmp_path / "file" / "deeper")
    with pytest.raises(UsageError, match="--csv: .* is a folder"):
        app.check_output_file("csv", tmp_path)


def test_flags_come_from_files_and_the_last_one_wins(toy, tmp_path):
    file = tmp_path / "flags.txt"
    file.write_text("# a comment\n--input=from_file\n--num_cases=7\n")
    assert run(toy, f"--flagfile={file}", "--num_cases=8") == 0
    assert (toy.input, toy.num_cases) == ("from_file", 8)


def test_a_reader_that_leaves_is_no_fault(tmp_path):
    script = tmp_path / "kits-talker"
    script.write_text(
        textwrap.dedent("""
            from absl import flags
            from kits_tf.cli import app

            def main():
                for number in range(200_000):
                    print(number)

            app.run(main, flags.FlagValues())
        """)
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == ""


@pytest.mark.parametrize("thread", ["", "threading.Thread(target=time.sleep, args=(300,)).start()"], ids=bool)
@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_the_program_and_remove_temporary_files(tmp_path, number, code, thread):
    """Even if a thread is still at work, which a usual exit would wait for."""
    script = tmp_path / "kits-sleeper"
    script.write_text(
        textwrap.dedent(f"""
            import threading
            import time
            from absl import flags
            from kits_tf import files
            from kits_tf.cli import app

            def main():
                {thread}
                with files.replacing({str(tmp_path / "out.txt")!r}) as path:
                    path.touch()
                    print("ready", flush=True)
                    time.sleep(30)

            app.run(main, flags.FlagValues())
        """)
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.wait(timeout=30) == code
    assert [path.name for path in tmp_path.iterdir()] == ["kits-sleeper"]
    assert "Traceback" not in process.stderr.read()
