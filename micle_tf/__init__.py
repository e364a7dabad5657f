"""SimCLR and MICLe pretraining for grouped medical images, in TensorFlow 2 and Keras 3."""

__version__ = "0.1.0"
