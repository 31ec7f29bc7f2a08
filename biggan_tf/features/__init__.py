"""Feature networks that images are scored with, and a linear head over their features.

A score carries the name of its network; `FeatureNetwork.protocol` is what two scores
must share to be comparable. To add a network, write a function with the decorator
`feature_network` and import it here.
"""

from biggan_tf.features.efficientnet_lite import lite0
from biggan_tf.features.inception import inception
from biggan_tf.features.keras_model import keras_model
from biggan_tf.features.linear import fit_linear_head
from biggan_tf.features.network import (
    NETWORKS,
    FeatureNetwork,
    find,
    load,
)
