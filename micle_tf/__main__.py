"""`python -m micle_tf`, and `micle-tf` where it is installed: the same as `python run.py`."""

import sys

from micle_tf import cli


def main():
    """Runs the command line of this process; returns the exit code."""
    return cli.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
