"""BigGAN (Brock, Donahue, Simonyan, arXiv 1809.11096) in TensorFlow 2."""

__version__ = "0.1.0"
