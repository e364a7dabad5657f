"""One training step on all replicas, whole or in microbatches, and several of them in one call."""

import math

import tensorflow as tf

from micle_tf import borrowed


def trainable_variables(models):
    """The trainable variables of {name: model}, in the order of the models."""
    return [variable for model in models.values() for variable in model.trainable_variables]


def make_train_step(training, strategy, microbatch_size=0):
    """The function that takes one step on all replicas.

    Each replica's loss is divided by the number of replicas and the gradients are added up:
    N replicas take the step of one replica on the whole batch.

    With microbatches the memory that a step needs is that of one of them, and the gradient is
    still the one of the whole batch, in two passes (GradCache; Gao et al., 2021, section 3.2):
    outputs without gradient, the loss of all outputs and its gradient on them, then a forward
    and backward pass per microbatch. Layers see one microbatch at a time, so that the
    statistics of batch norm are a microbatch's, over all replicas; the moving statistics are
    updated once per microbatch.

    Args:
      training: `Training`; reads `models`, `optimizer`, `forward`, `loss`.
      strategy: the tf.distribute strategy that the models were built under.
      microbatch_size: rows of a replica's part that go through the models at once; a divisor
        of the number of rows. 0: all of them.

    Returns:
      A function from a (distributed) batch of static shape to {"loss", "gradient_norm", other
      values}, means over replicas, to be called in cross-replica context inside a tf.function.
      `gradient_norm` is the Euclidean norm of the gradient of the whole batch's loss.
    """
    variables = trainable_variables(training.models)
    replicas = strategy.num_replicas_in_sync
    # Keras's optimizers add up the gradients of the replicas. Here it is done before, once, since
    # the norm of the sum is wanted too.
    borrowed.leave_gradients_to_caller(training.optimizer)

    def update(gradients):
        """Takes a replica's gradients to the optimizer; returns the norm of their sum."""
        context = tf.distribute.get_replica_context()
        gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        training.optimizer.apply(gradients, variables)
        return tf.linalg.global_norm(gradients)

    def whole_step(batch):
        with tf.GradientTape() as tape:
            loss, values = training.loss(training.forward(batch), batch)
            scaled = loss / replicas
        gradient_norm = update(tape.gradient(scaled, variables))
        return {"loss": loss, "gradient_norm": gradient_norm} | values

    if not microbatch_size:
        step = _on_replicas(strategy, whole_step)
    elif replicas == 1 or isinstance(strategy, tf.distribute.TPUStrategy):
        run = lambda function, *args: function(*args)
        inside = _microbatched(training, strategy, microbatch_size, update, run)
        step = _on_replicas(strategy, inside)
    else:
        # The replicas of MirroredStrategy are threads that cannot meet within a loop, so that it
        # goes around them. On a TPU they are one program, which holds the loop.
        run = lambda function, *args: strategy.run(function, args=args)
        step = _microbatched(training, strategy, microbatch_size, update, run)

    def train_step(batch):
        mean = tf.distribute.ReduceOp.MEAN
        return {
            name: strategy.reduce(mean, value, axis=None) for name, value in step(batch).items()
        }

    return train_step


def as_graph(train_step, jit_compile=False):
    """`make_train_step`'s function as a tf.function, compiled by XLA where that is asked for.

    Without AutoGraph, which has nothing to do there: a killed process would leave the files of what
    it converted in the temporary folder.
    """
    return tf.function(train_step, autograph=False, jit_compile=jit_compile or None)


def make_device_loop(train_step):
    """Several steps in one call, for devices that are far from the host.

    Args:
      train_step: `make_train_step`'s, `as_graph`.

    Returns:
      A tf.function from (iterator of batches, count) to the values of the last step and the
      number of steps, from the first, whose loss and gradient norm were all finite: int32, up
      to count. `count` is a scalar int32 tensor of at least 1; another one is no new trace.
    """

    @tf.function(autograph=False)
    def device_loop(iterator, count):
        def body(taken, finite, _):
            values = train_step(next(iterator))
            watched = tf.stack([values["loss"], values["gradient_norm"]])
            good = tf.reduce_all(tf.math.is_finite(watched)) & (finite == taken)
            return taken + 1, finite + tf.cast(good, tf.int32), values

        values = _zeros_of(train_step, iterator.element_spec)
        _, finite, values = tf.while_loop(
            lambda taken, *_: taken < count, body, (0, 0, values), parallel_iterations=1
        )
        return values, finite

    return device_loop


def batches_of(training, strategy, first, end):
    """An iterator over the batches of steps first to end, for `make_train_step`'s function."""

    def parts_of_worker(context):
        shard = (context.input_pipeline_id, context.num_input_pipelines)
        # Of what has an end, several workers would get batches of unknown size.
        return training.dataset((first, end), shard).repeat()

    return iter(strategy.distribute_datasets_from_function(parts_of_worker))


def make_step_taker(training, strategy, clock, pace):
    """The function that takes steps, one by one or as many in a call as --steps_per_loop says.

    Args:
      training: `Training`.
      strategy: the tf.distribute strategy that the models were built under.
      clock: `Clock`, told of what is waited for.
      pace: `Pace`; reads `microbatch_size`, `steps_per_loop` and `jit_compile`.

    Returns:
      A function from (iterator of batches, count) to the values of the last step and how many
      steps, from the first, were finite. The first call traces and compiles.
    """
    train_step = make_train_step(training, strategy, pace.microbatch_size)
    train_step = as_graph(train_step, pace.jit_compile)
    device_loop = make_device_loop(train_step)

    def one(batches, _):
        with clock.waiting():
            batch = next(batches)
        result = train_step(batch)
        return result, int(math.isfinite(result["loss"] + result["gradient_norm"]))

    def several(batches, count):
        result, finite = device_loop(batches, tf.constant(count))
        return result, int(finite)

    return one if pace.steps_per_loop == 1 else several


def _on_replicas(strategy, step):
    return lambda batch: strategy.run(step, args=(batch,))


def _microbatched(training, strategy, size, update, run):  # noqa: C901 - short closures
    """The step in microbatches; `run(function, *args)` runs a function on every replica."""
    variables = trainable_variables(training.models)
    state = [v.value for model in training.models.values() for v in model.non_trainable_variables]
    with strategy.scope():  # in variables, gradients are added up in place
        sums = [
            tf.Variable(
                tf.zeros(variable.shape, variable.dtype),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
            )
            for variable in variables
        ]

    def rows(tree, number):
        """Rows [number * size, (number + 1) * size) of every tensor."""
        split = lambda x: tf.reshape(x, [-1, size, *x.shape[1:]])
        return tf.nest.map_structure(lambda x: split(x)[number], tree)

    def outputs_of(batch, number):
        """The outputs of one microbatch in their place among zeros."""
        count = tf.nest.flatten(batch)[0].shape[0] // size
        place = lambda x: tf.scatter_nd([[number]], x[None], [count, *x.shape])
        outputs = tf.nest.map_structure(place, training.forward(rows(batch, number)))
        return tf.nest.map_structure(lambda x: tf.reshape(x, [-1, *x.shape[2:]]), outputs)

    def add(tree, other):
        return tf.nest.map_structure(tf.add, tree, other)

    def loss_and_gradients(outputs, batch):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss, values = training.loss(outputs, batch)
            scaled = loss / strategy.num_replicas_in_sync
        return {"loss": loss} | values, tape.gradient(scaled, outputs)

    def add_gradients(batch, output_gradients, number):
        with tf.GradientTape() as tape:
            outputs = training.forward(rows(batch, number))
        upstream = tf.nest.flatten(rows(output_gradients, number))
        gradients = tape.gradient(tf.nest.flatten(outputs), variables, upstream)
        for total, gradient in zip(sums, gradients, strict=True):
            total.assign_add(gradient)

    def read(tensors):
        # A variable that is only converted has no device, which all_reduce asks for.
        return [tf.identity(tensor) for tensor in tensors]

    def assign(tensors, values):
        for tensor, value in zip(tensors, values, strict=True):
            tensor.assign(value)

    first_pass = tf.function(lambda batch, number: run(outputs_of, batch, number), autograph=False)

    def step(batch):
        count = tf.nest.flatten(batch, expand_composites=True)[0].shape[0] // size
        before = run(lambda: read(state))
        outputs = _loop(
            count,
            lambda number, outputs: run(add, outputs, first_pass(batch, number)),
            _zeros_of(first_pass, batch, tf.constant(0)),
        )
        run(lambda values: assign(state, values), before)
        values, output_gradients = run(loss_and_gradients, outputs, batch)
        run(lambda: assign(sums, [tf.zeros(total.shape, total.dtype) for total in sums]))

        def body(number, _):
            run(add_gradients, batch, output_gradients, number)
            return number

        _loop(count, body, 0)
        return values | {"gradient_norm": run(lambda: update(read(sums)))}

    return step


def _loop(count, body, start):
    """Applies value = body(number, value) for number from 0 to count - 1, one after the other."""
    return tf.while_loop(
        lambda number, _: number < count,
        lambda number, value: (number + 1, body(number, value)),
        (0, start),
        parallel_iterations=1,
    )[1]


def _zeros_of(function, *args):
    """Zeros like what a tf.function returns, without running it."""
    outputs = function.get_concrete_function(*args).structured_outputs
    zeros = lambda x: tf.zeros(x.shape, x.dtype)
    return tf.nest.map_structure(zeros, outputs, expand_composites=True)
