"""Networks of SimCLR's family with made-up weights, in the layouts in which such are published.

Objects are named and nested as those of google-research/simclr, and numbered in the order of its
calls; what they compute is written here in plain TensorFlow, and shares nothing with our models.
"""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf


class Node(tf.Module):
    """Keeps what is set on it, under any name."""

    variables = trainable_variables = ()

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


UNITS = {
    10: (1, 1, 1, 1), 14: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3),
    101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3),
}  # fmt: skip
BASIC = (10, 18, 34)


@dataclasses.dataclass
class Layer:
    node: Node
    run: Callable


def nothing(run=lambda x: x):
    """A layer without variables."""
    return Layer(Node(), run)


def in_turn(layers):
    def run(x):
        for layer in layers:
            x = layer.run(x)
        return x

    return run


def nodes(layers):
    return [layer.node for layer in layers]


class Original:
    """One network; `node` is the model, `outputs(x)` what it gives in inference."""

    def __init__(
        self, depth, width=1 / 16, *, sk=0.0, se=0.0, small=False, head=2, classes=None, seed=0
    ):
        self.rng = np.random.default_rng(seed)
        self.sk, self.se = sk, se
        self.convs, self.norms = [], []  # in the order of the calls
        filters = round(64 * width)
        self.stem = self._stem(filters, small)
        groups, x = [], filters
        self.encoder_layers = list(self.stem)
        self.groups = []
        for group, count in enumerate(UNITS[depth]):
            units = []
            for index in range(count):
                make = self._basic if depth in BASIC else self._bottleneck
                stride = 2 if group and not index else 1
                unit, x = make(x, filters * 2**group, stride, not index)
                units.append(unit)
            groups.append(Node(layers=nodes(units)))
            self.groups.append(in_turn(units))
        self.resnet = Node(initial_conv_relu_max_pool=nodes(self.stem), block_groups=groups)
        self.features = x
        self.head = [self._linear(x, x, True) for _ in range(head - 1)]
        self.head += [self._linear(x, 5, False)] if head else []
        self.projection = Node(linear_layers=nodes(self.head))
        self.node = Node(resnet_model=self.resnet, _projection_head=self.projection)
        self.classifier = None
        if classes:
            kernel, bias = self.random(x, classes), self.random(classes)
            self.classifier = Node(kernel=kernel, bias=bias)
            self.node.supervised_head = Node(linear_layer=Node(dense=self.classifier))

    def outputs(self, x):
        x = in_turn(self.stem)(tf.constant(x))
        found = {}
        for number, group in enumerate(self.groups, start=1):
            x = found[f"block_group{number}"] = group(x)
        x = found["final_avg_pool"] = tf.reduce_mean(x, [1, 2])
        if self.classifier:
            found["logits_sup"] = x @ self.classifier.kernel + self.classifier.bias
        for number, layer in enumerate(self.head, start=1):
            x = layer.run(x)
            x = tf.nn.relu(x) if number < len(self.head) else x
        if self.head:
            found["proj_head_output"] = x
        return {name: value.numpy() for name, value in found.items()}

    def trained(self):
        """All variables but moving statistics, as `trainable_variables` lists them."""
        parts = [layer.kernel for layer in self.convs]
        parts += [layer.bias for layer in self.convs if hasattr(layer, "bias")]
        for norm in self.norms:
            parts += [norm.gamma] + ([norm.beta] if hasattr(norm, "beta") else [])
        for layer in self.head:
            parts.append(layer.node.dense.kernel)
            bn = layer.node.bn_relu.bn
            parts += [bn.gamma] + ([bn.beta] if hasattr(bn, "beta") else [])
        return parts + ([self.classifier.kernel, self.classifier.bias] if self.classifier else [])

    def random(self, *shape):
        scale = np.prod(shape[:-1]) ** -0.5
        return tf.Variable(self.rng.normal(0, scale, shape).astype("float32"))

    def _conv_node(self, size, ins, outs, bias=False):
        node = Node(kernel=self.random(size, size, ins, outs))
        if bias:
            node.bias = self.random(outs)
        self.convs.append(node)
        return node

    def _conv(self, size, ins, outs, stride=1):
        conv = self._conv_node(size, ins, outs)
        node = Node(conv2d=conv)
        if stride > 1:
            node.fixed_padding = Node()

        def run(x):
            return tf.nn.conv2d(padded(x, size), conv.kernel, stride, "VALID")

        return Layer(node, run)

    def _norm_node(self, width, center=True, numbered=True):
        near_one = lambda: tf.Variable(self.rng.uniform(0.5, 1.5, width).astype("float32"))
        near_zero = lambda: tf.Variable(self.rng.normal(0, 0.3, width).astype("float32"))
        node = Node(gamma=near_one(), moving_mean=near_zero(), moving_variance=near_one())
        if center:
            node.beta = near_zero()
        if numbered:
            self.norms.append(node)
        return node

    def _norm(self, width, relu=True):
        bn = self._norm_node(width)

        def run(x):
            x = normed(x, bn) + bn.beta
            return tf.nn.relu(x) if relu else x

        return Layer(Node(bn=bn), run)

    def _stem(self, filters, small):
        pool = nothing(lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"))
        if small:
            conv = self._conv(3, 3, filters)
            return [conv, nothing(), self._norm(filters), nothing()]
        if not self.sk:
            conv = self._conv(7, 3, filters, 2)
            return [conv, nothing(), self._norm(filters), pool, nothing()]
        half = filters // 2
        layers = [self._conv(3, 3, half, 2), self._norm(half), self._conv(3, half, half)]
        layers += [self._norm(half), self._conv(3, half, filters), nothing()]
        return [*layers, self._norm(filters), pool, nothing()]

    def _shortcut(self, ins, outs, stride):
        if not self.sk:
            return [self._conv(1, ins, outs, stride), self._norm(outs, relu=False)]
        if stride == 1:
            pool = [nothing(lambda x: tf.nn.avg_pool2d(x, 2, 1, "SAME"))]
        else:
            pool = [nothing(lambda x: padded(x, 2))]
            pool += [nothing(lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"))]
        return [*pool, self._conv(1, ins, outs), self._norm(outs, relu=False)]

    def _squeeze(self, filters, width):
        if not self.se:
            return []
        reduce = self._conv_node(1, width, max(1, int(filters * self.se)), bias=True)
        expand = self._conv_node(1, reduce.kernel.shape[-1], width, bias=True)

        def run(x):
            y = tf.reduce_mean(x, [1, 2], keepdims=True)
            y = tf.nn.relu(tf.nn.conv2d(y, reduce.kernel, 1, "SAME") + reduce.bias)
            return x * tf.sigmoid(tf.nn.conv2d(y, expand.kernel, 1, "SAME") + expand.bias)

        return [Layer(Node(se_reduce=reduce, se_expand=expand), run)]

    def _basic(self, ins, filters, stride, first):
        shortcut = self._shortcut(ins, filters, stride) if first else []
        main = [self._conv(3, ins, filters, stride), self._norm(filters)]
        main += [self._conv(3, filters, filters), self._norm(filters, relu=False)]
        node = Node(shortcut_layers=nodes(shortcut), conv2d_bn_layers=nodes(main))
        for squeeze in self._squeeze(filters, filters):
            node.se_layer = squeeze.node
            main.append(squeeze)
        return summed(node, shortcut, main), filters

    def _bottleneck(self, ins, filters, stride, first):
        shortcut = self._shortcut(ins, 4 * filters, stride) if first else []
        main = [self._conv(1, ins, filters), self._norm(filters), nothing()]
        if self.sk:
            main += [self._selective(filters, stride), nothing()]
        else:
            main += [self._conv(3, filters, filters, stride), self._norm(filters), nothing()]
        main += [self._conv(1, filters, 4 * filters), self._norm(4 * filters, relu=False)]
        main += [nothing(), *self._squeeze(filters, 4 * filters)]
        node = Node(
            projection_layers=nodes(shortcut),
            shortcut_dropblock=Node(),
            conv_relu_dropblock_layers=nodes(main),
        )
        return summed(node, shortcut, main), 4 * filters

    def _selective(self, filters, stride):
        conv, norm = self._conv(3, filters, 2 * filters, stride), self._norm(2 * filters)
        hidden = max(int(filters * self.sk), 32)
        reduce = self._conv_node(1, filters, hidden)
        norm_1 = self._norm(hidden)
        expand = self._conv_node(1, hidden, 2 * filters)

        def run(x):
            x = tf.stack(tf.split(norm.run(conv.run(x)), 2, axis=-1))
            y = tf.reduce_mean(tf.reduce_sum(x, 0), [1, 2], keepdims=True)
            y = norm_1.run(tf.nn.conv2d(y, reduce.kernel, 1, "SAME"))
            y = tf.nn.conv2d(y, expand.kernel, 1, "SAME")
            return tf.reduce_sum(x * tf.nn.softmax(tf.stack(tf.split(y, 2, axis=-1)), 0), 0)

        node = Node(
            conv2d_fixed_padding=conv.node, batch_norm_relu=norm.node, conv2d_0=reduce,
            batch_norm_relu_1=norm_1.node, conv2d_1=expand,
        )  # fmt: skip
        return Layer(node, run)

    def _linear(self, ins, outs, center):
        dense = Node(kernel=self.random(ins, outs))
        bn = self._norm_node(outs, center, numbered=False)

        def run(x):
            x = normed(x @ dense.kernel, bn)
            return x + bn.beta if center else x

        return Layer(Node(dense=dense, bn_relu=Node(bn=bn)), run)


def padded(x, size):
    near = (size - 1) // 2
    side = (near, size - 1 - near)
    return tf.pad(x, ((0, 0), side, side, (0, 0)))


def normed(x, bn):
    return (x - bn.moving_mean) / tf.sqrt(bn.moving_variance + 1e-5) * bn.gamma


def summed(node, shortcut, main):
    return Layer(node, lambda x: tf.nn.relu(in_turn(shortcut)(x) + in_turn(main)(x)))


# ---------------------------------------------------------------- the layouts


def write_checkpoint(folder, net, step=100, **parts):
    """A training checkpoint of TF2 with a state file as another machine wrote it; its prefix."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    slots = [tf.Variable(tf.zeros_like(net.convs[0].kernel))]
    optimizer = Node(iter=tf.Variable(step, dtype=tf.int64), _variables=slots)
    global_step = tf.Variable(step, dtype=tf.int64)
    parts = {"optimizer": optimizer, "global_step": global_step} | parts
    prefix = str(folder / f"ckpt-{step}")
    tf.train.Checkpoint(model=net.node, **parts).write(prefix)
    path = f"/somewhere/else/ckpt-{step}"
    (folder / "checkpoint").write_text(
        f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "/old/ckpt-1"\n'
        f'all_model_checkpoint_paths: "{path}"\n'
    )
    return prefix


def write_saved_model(folder, net, listed=True):
    """A SavedModel; without `listed`, trainables are in lists of variables alone."""
    root = Node(model=net.node, trainable_variables_list=net.trained() if listed else [])
    if not listed:
        for part in [net.resnet, net.projection]:
            variables = [v for v in all_variables(part)]
            part.variables = variables[::-1]  # any order
    tf.saved_model.save(root, str(folder))
    return str(folder)


def all_variables(node):
    found, seen = [], set()

    def look(part):
        if id(part) in seen:
            return
        seen.add(id(part))
        if isinstance(part, tf.Variable):
            found.append(part)
        elif hasattr(part, "_trackable_children"):
            for child in part._trackable_children().values():
                look(child)

    look(node)
    return found


def tf1_names(net):
    """{name in a checkpoint of TF1: array}."""
    found = {}
    numbered = lambda name, number: name if not number else f"{name}_{number}"
    for kind, layers in (("conv2d", net.convs), ("batch_normalization", net.norms)):
        for number, layer in enumerate(layers):
            found |= named(f"base_model/{numbered(kind, number)}", layer)
    for number, layer in enumerate(net.head):
        place = f"head_contrastive/nl_{number}"
        found |= named(f"{place}/dense", layer.node.dense)
        found |= named(f"{place}/batch_normalization", layer.node.bn_relu.bn)
    if net.classifier:
        found |= named("head_supervised/linear_layer/dense", net.classifier)
    return found | {"global_step": np.int64(100)}


def named(place, node):
    variables = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    there = [name for name in variables if hasattr(node, name)]
    return {f"{place}/{name}": getattr(node, name).numpy() for name in there}


def write_tf1(folder, arrays, name="model.ckpt-100"):
    """A checkpoint as TF1's Saver writes it, of {name: array}; its prefix."""
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    prefix = str(pathlib.Path(folder) / name)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(array) for array in arrays.values()],
    )
    return prefix


# ---------------------------------------------------------------- comparisons


def images(side=64, channels=3):
    return np.random.default_rng(0).random((2, side, side, channels), np.float32)


def distances(pretrained, net, x):
    """{output: largest difference over the largest value} of what was loaded and the original."""
    import keras

    encoder = pretrained.encoder
    groups = [encoder.get_layer(f"block_group{number}").output for number in (1, 2, 3, 4)]
    *groups, features = keras.Model(encoder.input, [*groups, encoder.output])(x, training=False)
    found = {f"block_group{number}": y for number, y in enumerate(groups, start=1)}
    found["final_avg_pool"] = features
    if pretrained.projection_head:
        found["proj_head_output"] = pretrained.projection_head(features, training=False)
    if pretrained.classifier:
        found["logits_sup"] = pretrained.classifier(features, training=False)
    expected = net.outputs(x)
    assert found.keys() == expected.keys()
    return {
        name: np.abs(np.asarray(found[name]) - value).max() / np.abs(value).max()
        for name, value in expected.items()
    }
