"""The reverse-time SDE of a trained discrete schedule."""

from typing import Any

from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class ReverseSde(DDPMScheduler):
    """Solves the reverse-time VP-SDE with the steps of the forward process turned round.

    Training moves an image from noise level alpha-bar' to alpha-bar by x <- sqrt(1 - b) x + sqrt(b)
    z, b = 1 - alpha-bar / alpha-bar'. The same discretization of dx = (f - g^2 score) dt + g dw
    (Anderson 1982) is x <- (2 - sqrt(1 - b)) x + b score + sqrt(b) z (Song et al. 2021, equation
    46). It converges to the SDE as b falls, and stays bounded where b is near 1, as at the end of
    the cosine schedule: there a step of Euler and Maruyama, whose factor of x is 1 + beta dt / 2
    with beta dt = -log(1 - b), would magnify what it is given. The last step returns the predicted
    image: noise that no step follows would only stay in it.

    diffusers' ScoreSdeVpScheduler is deprecated, knows the linear schedule alone, does not clip,
    and its step 1 / N is not the distance of its N timesteps. SASolverScheduler takes no timesteps
    and ends at the first noise level instead of at none.
    """

    def step(
        self,
        model_output: Tensor,
        timestep: int,
        sample: Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> tuple[Tensor]:
        """Return x (B, C, H, W) at the timestep that follows, in a tuple.

        The output is the predicted epsilon of the sample x, and a list of generators has one for
        each image. `return_dict` is without effect.
        """
        alpha_bars: Tensor = self.alphas_cumprod
        now = alpha_bars[timestep]
        image = ((sample - (1 - now).sqrt() * model_output) / now.sqrt()).clamp(-1, 1)
        following = int(self.previous_timestep(timestep))
        if following < 0:
            return (image,)
        b = 1 - now / alpha_bars[following]
        score = (now.sqrt() * image - sample) / (1 - now)
        noise = randn_tensor(
            sample.shape, generator=generator, device=sample.device, dtype=sample.dtype
        )
        return ((2 - (1 - b).sqrt()) * sample + b * score + b.sqrt() * noise,)
