"""REINFORCE on a small corridor: no fit, no data, a loop of one's own around `multikeras.jit`.

    multikeras examples/custom_loops/reinforce.py
    multikeras compare examples/custom_loops/reinforce.py

64 walkers start in the middle of a corridor of nine fields and may go left or right; the right end pays 1, every step
costs 0.05. Playing and learning are one compiled program, on every backend the same.

Williams: Simple statistical gradient-following algorithms for connectionist reinforcement learning, 1992.
"""

import multikeras as mk
from multikeras import layers, ops

FIELDS, WALKERS, STEPS, COST = 9, 64, 24, 0.05

policy = mk.Sequential([mk.Input((FIELDS,)), layers.Dense(16, activation="tanh"), layers.Dense(2)])
optimizer = mk.optimizers.Adam(2e-2)
optimizer.build(policy.trainable_variables)
seeds = mk.random.SeedGenerator(1)
variables = [*policy.variables, *optimizer.variables, seeds.state]


def move(field, action):
    """Return the next field, the reward, and whether the walker was still on its way."""
    walking = ops.cast((field > 0) & (field < FIELDS - 1), "int32")
    after = field + walking * (2 * action - 1)
    arrived = ops.cast(after == FIELDS - 1, "float32") - COST
    return after, ops.cast(walking, "float32") * arrived, ops.cast(walking, "float32")


def episode():
    field = ops.full((WALKERS,), FIELDS // 2, dtype="int32")
    chances, rewards = [], []
    for _ in range(STEPS):
        log_chance = ops.log_softmax(policy(ops.one_hot(field, FIELDS)))
        action = ops.squeeze(mk.random.categorical(log_chance, 1, dtype="int32", seed=seeds), -1)
        field, reward, walking = move(field, action)
        chances.append(walking * ops.sum(log_chance * ops.one_hot(action, 2), axis=-1))
        rewards.append(reward)
    return ops.stack(chances), ops.stack(rewards)


def loss():
    chances, rewards = episode()
    to_come = ops.flip(ops.cumsum(ops.flip(rewards, 0), 0), 0)
    advantage = ops.stop_gradient(to_come - ops.mean(to_come, axis=1, keepdims=True))
    return -ops.mean(ops.sum(chances * advantage, axis=0)), ops.mean(ops.sum(rewards, axis=0))


@mk.jit
def learn():
    (_, paid), gradients = ops.value_and_grad(loss, policy.trainable_variables, has_aux=True)()
    optimizer.apply(gradients, policy.trainable_variables)
    return paid


for turn in range(60):
    paid = learn()
    if turn % 10 == 9:
        print(f"turn {turn + 1:3d}: mean return {float(paid):.3f}")
