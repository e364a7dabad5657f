"""Entry point: `python run.py --mode=pretrain --dataset=derm_cases`."""

import sys

from micle_tf.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
