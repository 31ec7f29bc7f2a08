"""The exported module: `writing` makes what `hub.load` opens, `reading` opens it."""

from biggan_tf.saved_model.reading import load
from biggan_tf.saved_model.writing import check_free, make_module, readme, write
