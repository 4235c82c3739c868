"""Write models for serving: the four networks, and the whole two-stage system as one SavedModel.

Example: kits-export --output_dir=models
"""

from __future__ import annotations

from absl import flags

from kits_tf import checkpoint, runtime
from kits_tf.cli import app
from kits_tf.errors import InputError, UsageError

FLAGS = flags.FlagValues()
INPUT, OUTPUT = (app.group(FLAGS, name) for name in ("Input", "Output"))

flags.DEFINE_string(
    "checkpoint_dir", checkpoint.DEFAULT, "A checkpoint folder or the name of released weights.", **INPUT
)
flags.DEFINE_string("output_dir", None, "Folder to write each model to, as NAME/VERSION/.", required=True, **OUTPUT)
flags.DEFINE_enum(
    "format", "saved_model", ["saved_model", "openvino", "onnx"], "Only saved_model includes the system.", **OUTPUT
)
flags.DEFINE_integer(
    "model_version", 1, "Version number; an existing version is never replaced.", lower_bound=1, **OUTPUT
)


def main() -> int:
    """Export the checkpoint; return the exit code."""
    app.check_output_folder("output_dir", FLAGS.output_dir)
    try:
        checkpoint.find(FLAGS.checkpoint_dir)  # an error needs no TensorFlow
        runtime.load_tensorflow()
        from kits_tf.export.formats import export

        export(FLAGS.checkpoint_dir, FLAGS.output_dir, FLAGS.model_version, FLAGS.format)
    except InputError as error:
        raise UsageError("checkpoint_dir", str(error)) from None
    return app.EXIT_DONE


def run() -> None:
    """Run the console command kits-export."""
    app.run(main, FLAGS)


if __name__ == "__main__":
    run()
