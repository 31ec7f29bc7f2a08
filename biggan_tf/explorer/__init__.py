"""The page of `biggan_tf.explore`."""

from biggan_tf.explorer.page import serve
