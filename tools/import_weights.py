"""`biggan-import`, by its place in a checkout; see `biggan_tf/import_weights.py`."""

from biggan_tf.import_weights import program

if __name__ == "__main__":
    program()
