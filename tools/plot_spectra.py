"""`biggan-spectra`, by its place in a checkout; see `biggan_tf/plot_spectra.py`."""

from biggan_tf.plot_spectra import program

if __name__ == "__main__":
    program()
