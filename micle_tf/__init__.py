"""SimCLR and MICLe pretraining for grouped medical images, in TensorFlow 2 and Keras 3."""

from micle_tf import versions

__version__ = "0.1.0"


def show_versions() -> None:
    """Prints a block for bug reports: Python, libraries, devices, memory; no names, no paths."""
    versions.show_versions(__version__)
