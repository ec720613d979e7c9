"""One of two hosts that train together: `python hosts.py INDEX DIES PORT PORT`. It says "step N", "failed ..." or "done ..."."""

import json
import os
import sys
import time

INDEX, DIES, PORTS = int(sys.argv[1]), sys.argv[2] == "dies", sys.argv[3:]
ROWS, STEPS = 64, 6


def arrays():
    import numpy as np

    random = np.random.RandomState(0)
    return random.randn(ROWS, 6).astype("float32"), random.randn(ROWS, 1).astype("float32")


def small():
    import multikeras as mk

    mk.utils.set_random_seed(0)
    return mk.Sequential([mk.Input((6,)), mk.layers.Dense(3, activation="tanh"), mk.layers.Dense(1)])


def after(step):
    print("step", step, flush=True)
    if DIES and INDEX == 1 and step == 2:
        os.kill(os.getpid(), 9)


def tensorflow():
    """Train by `fit` under a strategy."""
    cluster = {"worker": [f"localhost:{port}" for port in PORTS]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": INDEX}})
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    from multikeras import callbacks

    with strategy.scope():
        model = small()
        model.compile("sgd", "mse")
    x, y = arrays()
    each = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: after(epoch))
    model.fit(x, y, batch_size=ROWS, epochs=STEPS, verbose=0, shuffle=False, callbacks=[each])
    return model


def torch():
    """Train in a loop of one's own, the model in a `DistributedDataParallel`."""
    import torch
    import torch.distributed

    torch.distributed.init_process_group("gloo", f"tcp://localhost:{PORTS[0]}", rank=INDEX, world_size=2)
    model = small()
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), 0.01)
    x, y = (torch.from_numpy(a[INDEX::2]) for a in arrays())
    for step in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(parallel(x), y).backward()
        optimizer.step()
        after(step)
    return model


def jax():
    """Train in a loop of one's own, rows spread over a mesh of both hosts."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{PORTS[0]}", 2, INDEX, heartbeat_timeout_seconds=10)
    import numpy as np
    from jax.experimental import multihost_utils
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    model = small()
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    x, y = (
        jax.make_array_from_process_local_data(NamedSharding(mesh, PartitionSpec("rows")), a[INDEX::2]) for a in arrays()
    )
    trainable = [np.asarray(v.value) for v in model.trainable_variables]
    trainable = multihost_utils.host_local_array_to_global_array(trainable, mesh, PartitionSpec())

    def loss_of(trainable, x, y):
        return ((model.stateless_call(trainable, [], x)[0] - y) ** 2).mean()

    slopes = jax.jit(jax.grad(loss_of))
    for step in range(STEPS):
        trainable = [v - 0.01 * g for v, g in zip(trainable, slopes(trainable, x, y))]
        jax.block_until_ready(trainable)
        after(step)
    for v, value in zip(model.trainable_variables, trainable):
        v.assign(np.asarray(value.addressable_data(0)))
    return model


if __name__ == "__main__":
    try:
        model = {"tensorflow": tensorflow, "torch": torch, "jax": jax}[os.environ["MULTIKERAS_BACKEND"]]()
    except Exception as error:
        print("failed", type(error).__name__, " ".join(str(error).split()), flush=True)
        os._exit(1)  # the frameworks wait for the other host when they are shut down
    print("done", *(float(w) for w in model.get_weights()[0][0]), flush=True)
    time.sleep(1)
    os._exit(0)
