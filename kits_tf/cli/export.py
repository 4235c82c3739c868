"""Writes models for serving: the four networks, and the whole system as one SavedModel."""

from absl import flags

from kits_tf import checkpoint, runtime
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()

flags.DEFINE_string(
    "checkpoint_dir", checkpoint.DEFAULT, "A checkpoint folder, or the name of released weights.", flag_values=FLAGS
)
flags.DEFINE_string(
    "output_dir", None, "Folder to write to: NAME/VERSION/ for each model.", required=True, flag_values=FLAGS
)
flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "openvino", "onnx"], "What to write; only saved_model has the system.",
    flag_values=FLAGS,
)  # fmt: skip
flags.DEFINE_integer(
    "version", 1, "Name of the version's folder; one that is there is never written over.", lower_bound=1,
    flag_values=FLAGS,
)  # fmt: skip


def main():
    """Exports the checkpoint; returns the exit code."""
    app.check_output_folder("output_dir", FLAGS.output_dir)
    from kits_tf.export.folder import export

    try:
        checkpoint.find(FLAGS.checkpoint_dir)  # an error needs no TensorFlow
        runtime.load_tensorflow()
        export(FLAGS.checkpoint_dir, FLAGS.output_dir, FLAGS.version, FLAGS.format)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None
    return 0


def run():
    """The console command kits-export."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
