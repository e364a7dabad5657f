"""Entry point: `python run.py --mode=pretrain --dataset=derm_cases`."""

import sys

from micle_tf import cli

if __name__ == "__main__":
    sys.exit(cli.run(sys.argv[1:]))
