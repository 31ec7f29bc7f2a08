"""Published weights as values of our variables.

Each source (`biggan_pytorch`, `huggingface`, `tfhub`) has a function `read`. It returns
`Published`, which a GAN takes over, or lists all that does not fit.
"""

from biggan_tf.weights import biggan_pytorch, huggingface, tfhub
from biggan_tf.weights.published import Published, describe
