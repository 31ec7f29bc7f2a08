"""`biggan-prepare`, by its place in a checkout; see `biggan_tf/prepare_dataset.py`."""

from biggan_tf.prepare_dataset import program

if __name__ == "__main__":
    program()
