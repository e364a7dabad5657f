"""Settings of the model: its shape, and what fine-tuning keeps of it."""

import dataclasses
import functools

from micle_tf.config.modes import FINETUNE, MODEL, PRETRAIN, TRAIN
from micle_tf.settings import Needs, Tag, setting

RESNET_DEPTHS = (10, 14, 18, 34, 50, 101, 152, 200)

_HEAD = Needs(
    "without --ft_proj_selector",
    lambda config: config.mode != "finetune" or config.ft_proj_selector,
)
_model = functools.partial(setting, group="model")
_encoder = functools.partial(_model, only=MODEL, tags=Tag.ENCODER)
_projection = functools.partial(_model, only=TRAIN, needs=_HEAD, tags=Tag.PROJECTION)


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The shape of the ResNet."""

    resnet_depth: int = _encoder(50, "Depth of the ResNet.", choices=RESNET_DEPTHS, common=True)
    width_multiplier: float = _encoder(
        1.0, "Width of the ResNet; fractions too.", low=1 / 64, high=16, common=True
    )
    sk_ratio: float = _encoder(
        0.0, "Selective-kernel ratio of depths 14 and 50 to 200, 0 for none; SimCLRv2: 0.0625.",
        low=0, high=1,
    )  # fmt: skip
    se_ratio: float = _encoder(0.0, "Squeeze-and-excitation ratio, 0 for none.", low=0, high=1)


@dataclasses.dataclass(frozen=True)
class ProjectionHead:
    """The shape of the projection head."""

    num_proj_layers: int = _projection(
        2,
        "Layers of the projection head: 2 as SimCLR's first version, 3 as SimCLRv2; 0: none.",
        low=0,
        high=8,
    )
    proj_out_dim: int = _projection(
        128, "Width of the projection head's output.", low=1, high=65_536
    )


@dataclasses.dataclass(frozen=True)
class FineTuning:
    """What of a pretrained model fine-tuning keeps and changes."""

    ft_proj_selector: int = _model(
        0, "Layers of the projection head to keep; SimCLRv2 keeps 1 where labels are few; -1: all.",
        low=-1, high=8, only=FINETUNE, tags=Tag.START,
    )  # fmt: skip
    fine_tune_after_block: int = _model(
        -1,
        "Freeze the stem (0) and the block groups up to this one; -1: none, 4: the whole encoder.",
        low=-1, high=4, only=FINETUNE, tags=Tag.START,
    )  # fmt: skip
    zero_init_logits_layer: bool = _model(
        False, "Start the classifier with zeros, so that the first step moves the encoder little.",
        only=FINETUNE,
    )  # fmt: skip
    new_projection_head: bool = _model(
        False, "Start the projection head anew, whatever --checkpoint has.", only=PRETRAIN,
        needs=Needs("without --checkpoint", lambda config: config.checkpoint), tags=Tag.START,
    )  # fmt: skip
    rescale_kernels: bool = _model(
        False, "Bring the kernels of --checkpoint to a fresh network's scale, features staying "
        "as they are; for SimCLR's first weights.", only=MODEL, tags=Tag.START,
        needs=Needs("without --checkpoint", lambda config: config.checkpoint),
    )  # fmt: skip
