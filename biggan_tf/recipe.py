"""How a GAN is trained: the options of the step."""

from __future__ import annotations

import dataclasses

import gin

from biggan_tf import losses
from biggan_tf.errors import BadInput
from biggan_tf.regularisers import Regularisation, check_number


@gin.configurable("gan")
@dataclasses.dataclass(frozen=True)
class Recipe(Regularisation):
    """How G and D are trained; the defaults are the paper's at 128 px.

    Attributes, besides those of the regularisers:
        loss: "hinge", "non_saturating", "least_squares" or "wasserstein".
        discriminator_steps: D updates per G update.
        generator_learning_rate, discriminator_learning_rate: Adam's.
        beta1, beta2, adam_epsilon: Adam's, of both.
        ema_decay: of the moving average of G's weights, by G update.
        ema_start_step: before it the average is a copy.
        freeze_generator: nothing of G moves, not its average or statistics either.
        freeze_discriminator: nothing of D moves.
    """

    loss: str = "hinge"
    discriminator_steps: int = 2
    generator_learning_rate: float = 5e-5
    discriminator_learning_rate: float = 2e-4
    beta1: float = 0.0
    beta2: float = 0.999
    adam_epsilon: float = 1e-6
    ema_decay: float = 0.9999
    ema_start_step: int = 20_000
    freeze_generator: bool = False
    freeze_discriminator: bool = False

    def __post_init__(self) -> None:
        if self.loss not in list(losses.ADVERSARIAL):
            raise BadInput(
                f"gan.loss = {self.loss!r}: take one of "
                f"{', '.join(losses.ADVERSARIAL)}."
            )
        for name, low, high in (
            ("discriminator_steps", 1, 1000),
            ("generator_learning_rate", 0, 1),
            ("discriminator_learning_rate", 0, 1),
            ("beta1", 0, 1),
            ("beta2", 0, 1),
            ("adam_epsilon", 0, 1),
            ("ema_decay", 0, 1),
            ("ema_start_step", 0, 10**9),
        ):
            check_number(name, getattr(self, name), low, high)
        super().__post_init__()
        for name in ("freeze_generator", "freeze_discriminator"):
            if type(getattr(self, name)) is not bool:
                raise BadInput(
                    f"gan.{name} = {getattr(self, name)!r}: take True or False."
                )
        if self.freeze_generator and self.freeze_discriminator:
            raise BadInput(
                "gan.freeze_generator and gan.freeze_discriminator are both True, so "
                "that nothing would train: leave one out."
            )
        for frozen, useless in (
            (
                "freeze_generator",
                ("orthogonal_penalty", "sigma0_penalty", "sigma0_clamp"),
            ),
            (
                "freeze_discriminator",
                ("r1_penalty", "consistency_penalty", "lecam_penalty"),
            ),
        ):
            for name in useless:
                if getattr(self, frozen) and getattr(self, name):
                    raise BadInput(
                        f"gan.{name} = {getattr(self, name)} acts on a network that "
                        f"gan.{frozen} = True holds: leave one of them out."
                    )
