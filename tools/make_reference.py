"""`biggan-reference`, by its place in a checkout; see `biggan_tf/make_reference.py`."""

from biggan_tf.make_reference import program

if __name__ == "__main__":
    program()
