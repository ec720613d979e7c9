"""Wasserstein GAN with gradient penalty on a ring of eight Gaussians: the gradient of a gradient inside a train step.

    multikeras examples/custom_loops/wgan_gp.py
    multikeras compare examples/custom_loops/wgan_gp.py

Gulrajani et al.: Improved training of Wasserstein GANs, https://arxiv.org/abs/1704.00028
"""

import numpy as np

import multikeras as mk
from multikeras import layers, ops

NOISE, CRITIC_STEPS, PENALTY = 4, 5, 1.0

random = np.random.default_rng(0)
angles = random.integers(8, size=8192) * (np.pi / 4)
points = np.stack([np.cos(angles), np.sin(angles)], axis=-1) + 0.05 * random.normal(size=(8192, 2))


def network(inputs, outputs, name):
    hidden = [layers.Dense(64, activation="silu") for _ in range(3)]
    return mk.Sequential([mk.Input((inputs,)), *hidden, layers.Dense(outputs)], name=name)


class WGAN(mk.Model):
    def __init__(self):
        super().__init__()
        self.generator, self.critic = network(NOISE, 2, "generator"), network(2, 1, "critic")
        self.seeds = mk.random.SeedGenerator(1)

    def compile(self, generator_optimizer, critic_optimizer):
        super().compile(optimizer=None)
        self.generator_optimizer, self.critic_optimizer = generator_optimizer, critic_optimizer

    def call(self, noise):
        return self.generator(noise)

    def generate(self, count):
        return self.generator(mk.random.normal((count, NOISE), seed=self.seeds))

    def slope(self, x):
        """Return the length of the critic's gradient at each point."""
        gradient = ops.grad(lambda x: ops.sum(self.critic(x)))(x)
        return ops.sqrt(ops.sum(ops.square(gradient), axis=-1) + 1e-12)

    def train_step(self, real):
        count = ops.shape(real)[0]

        def critic_loss():
            fake = ops.stop_gradient(self.generate(count))
            share = mk.random.uniform((count, 1), seed=self.seeds)
            penalty = ops.mean(ops.square(self.slope(share * real + (1 - share) * fake) - 1))
            distance = ops.mean(self.critic(real)) - ops.mean(self.critic(fake))
            return PENALTY * penalty - distance, (distance, penalty)

        def generator_loss():
            return -ops.mean(self.critic(self.generate(count)))

        for _ in range(CRITIC_STEPS):
            variables = self.critic.trainable_variables
            (_, (distance, penalty)), gradients = ops.value_and_grad(critic_loss, variables, has_aux=True)()
            self.critic_optimizer.apply(gradients, variables)
        variables = self.generator.trainable_variables
        _, gradients = ops.value_and_grad(generator_loss, variables)()
        self.generator_optimizer.apply(gradients, variables)
        return {"distance": distance, "penalty": penalty}


gan = WGAN()
gan.compile(mk.optimizers.Adam(2e-3, beta_1=0.5), mk.optimizers.Adam(2e-3, beta_1=0.5))
gan.fit(points.astype("float32"), batch_size=256, epochs=20)

made = ops.convert_to_numpy(gan.generate(4000))
near = np.abs(np.linalg.norm(made, axis=-1) - 1) < 0.2
print(f"{near.mean():.0%} of the generated points lie near the ring")
