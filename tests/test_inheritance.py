"""What a run takes over from the one in --checkpoint."""

import pytest

from micle_tf import cli
from micle_tf.config import Config
from micle_tf.errors import BadInput

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_what_a_label_means_is_the_checkpoints(tmp_path):
    source = Config(mode="finetune", dataset="chexpert", uncertain="ones", unmentioned="ignore")
    (tmp_path / "config.json").write_text(source.to_json())

    def policies(mode, *argv):
        config, _ = cli.configure([f"--mode={mode}", f"--checkpoint={tmp_path}", *argv])
        return config.uncertain, config.unmentioned

    assert policies("evaluate") == ("ones", "ignore")
    assert policies("evaluate", "--dataset=nih_chest_xray14") == ("ones", "ignore")
    assert policies("evaluate", "--uncertain=zeros") == ("zeros", "ignore")
    assert policies("evaluate", "--unmentioned=zeros") == ("ones", "zeros")
    # A new classifier begins with the defaults, or with what it is told.
    assert policies("finetune") == ("ignore", "zeros")
    assert policies("linear_eval", "--uncertain=zeros") == ("zeros", "zeros")


def test_a_checkpoint_brings_where_the_files_are(tmp_path):
    (tmp_path / "files").mkdir()
    stated = dict(
        dataset="derm_cases/ham10000", manual_dir="files", group_by="image", max_bad_images=3,
        max_image_side=64, jpeg_quality=80, labels_shared_by_case=False, data_dir="data",
    )  # fmt: skip
    (tmp_path / "config.json").write_text(Config(**stated).to_json())
    checkpoint = f"--checkpoint={tmp_path}"
    config, _ = cli.configure(["--mode=linear_eval", checkpoint])
    assert {name: getattr(config, name) for name in stated} == stated
    assert config.model_dir == f"{tmp_path}/linear_eval"
    (tmp_path / "files").rmdir()  # nobody has typed the name of that folder
    config, _ = cli.configure(["--mode=linear_eval", checkpoint])
    assert {name: getattr(config, name) for name in stated} == stated | {"manual_dir": ""}
    config, _ = cli.configure(["--mode=linear_eval", checkpoint, "--manual_dir=there"])
    assert config.manual_dir == "there"
    other, _ = cli.configure(["--mode=linear_eval", checkpoint, "--dataset=derm_cases/scin"])
    assert (other.manual_dir, other.group_by, other.max_image_side) == ("", "case", 0)
    assert other.data_dir == "data"


def test_a_checkpoint_brings_architecture_and_data(tmp_path):
    source = Config(
        resnet_depth=18, image_size=64, manifest="a.csv", columns="image=i", precision="float64"
    )
    (tmp_path / "config.json").write_text(source.to_json())
    config, _ = cli.configure(["--mode=linear_eval", f"--checkpoint={tmp_path}"])
    assert (config.resnet_depth, config.image_size, config.precision) == (18, 64, "float64")
    assert (config.manifest, config.columns) == ("a.csv", "image=i")
    assert config.seed == 0
    with pytest.raises(BadInput, match=r"--resnet_depth=50: --checkpoint=.* was trained with 18"):
        cli.configure(["--mode=linear_eval", f"--checkpoint={tmp_path}", "--resnet_depth=50"])
