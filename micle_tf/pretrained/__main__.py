"""Prints what files of weights hold: python -m micle_tf.pretrained PATH [PATH ...]"""

import sys

from micle_tf import console, quiet
from micle_tf.exits import ArgumentParser, guarded
from micle_tf.pretrained import describe


def main(argv: list[str]) -> int:
    """Prints a few lines for each path; returns the exit code."""

    def command() -> None:
        parser = ArgumentParser(
            prog="python -m micle_tf.pretrained", description="Says what files of weights hold."
        )
        parser.add_argument("path", nargs="+", help="a checkpoint, a SavedModel, a .keras file")
        for path in parser.parse_args(argv).path:
            for line in describe(path).lines():
                console.say(line)

    return guarded(command)


if __name__ == "__main__":
    quiet.hide_native_messages()
    sys.exit(main(sys.argv[1:]))
