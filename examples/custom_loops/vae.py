"""A variational autoencoder of 8 x 8 digits: a train step of one's own, the same on every backend.

    multikeras examples/custom_loops/vae.py
    multikeras compare examples/custom_loops/vae.py
"""

from sklearn.datasets import load_digits

import multikeras as mk
from multikeras import layers, ops

LATENT = 2
images = (load_digits().images / 16).reshape(-1, 64).astype("float32")


class VAE(mk.Model):
    def __init__(self):
        super().__init__()
        self.encoder = mk.Sequential([layers.Dense(64, activation="relu"), layers.Dense(2 * LATENT)])
        self.decoder = mk.Sequential([layers.Dense(64, activation="relu"), layers.Dense(64, activation="sigmoid")])
        self.seeds = mk.random.SeedGenerator(1)

    def call(self, x):
        mean, log_variance = ops.split(self.encoder(x), 2, axis=-1)
        z = mean + ops.exp(log_variance / 2) * mk.random.normal(ops.shape(mean), seed=self.seeds)
        return self.decoder(z), mean, log_variance

    def train_step(self, x):
        def loss():
            decoded, mean, log_variance = self(x)
            reconstruction = 64 * ops.mean(mk.losses.binary_crossentropy(x, decoded))
            divergence = ops.mean(ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance - 1, axis=-1)) / 2
            return reconstruction + divergence, (reconstruction, divergence)

        variables = self.trainable_variables
        (total, (reconstruction, divergence)), gradients = ops.value_and_grad(loss, variables, has_aux=True)()
        self.optimizer.apply(gradients, variables)
        return {"loss": total, "reconstruction": reconstruction, "divergence": divergence}


vae = VAE()
vae.compile(optimizer=mk.optimizers.Adam(3e-3))
vae.fit(images, batch_size=64, epochs=20)

grid = ops.stack(ops.meshgrid(ops.linspace(-1.5, 1.5, 4), ops.linspace(-1.5, 1.5, 4)), axis=-1)
pictures = ops.convert_to_numpy(vae.decoder(ops.reshape(grid, (16, LATENT))))
for row in pictures.reshape(4, 4, 8, 8):
    for line in row.transpose(1, 0, 2).reshape(8, 32):
        print("".join(" .:-=+*#%@"[int(9 * pixel)] * 2 for pixel in line))
