import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest

from micle_tf.pretrained import seeming


def archive(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"x")


def safetensors(path):
    header = b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))


KINDS = {
    "empty": (lambda path: path.write_bytes(b""), "an empty file"),
    "notes.txt": (lambda path: path.write_text("größer\n" * 2000), "a text file"),
    "model.pth": (lambda path: archive(path, "archive/data.pkl"), "a PyTorch file"),
    "old.pth": (lambda path: path.write_bytes(pickle.dumps({"a": 1}, 2)), "old PyTorch file"),
    "cut.pt": (lambda path: path.write_bytes(bytes(range(200, 256)) * 9), "a PyTorch file that"),
    "model.safetensors": (safetensors, "a safetensors file"),
    "weights.h5": (lambda path: h5py.File(path, "w").close(), "an HDF5 file"),
    "bit.npz": (lambda path: np.savez(path, a=1), "numpy arrays, as BiT's"),
    "a.npy": (lambda path: np.save(path, 1), "a numpy array"),
    "lite.tflite": (lambda path: path.write_bytes(b"\x20\0\0\0TFL3" + bytes(99)), "Lite model"),
    "a.zip": (lambda path: archive(path, "a"), "a zip archive; unpack"),
    "model.zip": (lambda path: archive(path, "model.weights.h5"), "name does not end in .keras"),
    "cut.zip": (lambda path: path.write_bytes(b"PK\x03\x04 and so on"), "that is damaged"),
    "noise": (lambda path: path.write_bytes(bytes(range(200, 256)) * 9), "nothing that is known"),
}


@pytest.mark.parametrize("name", KINDS)
def test_files(name, tmp_path):
    write, said = KINDS[name]
    write(tmp_path / name)
    assert said in seeming.file(str(tmp_path / name))


def test_folders(tmp_path):
    assert seeming.folder(str(tmp_path)) == "it is an empty folder"
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    assert "PyTorch's" in seeming.folder(str(tmp_path))


@pytest.mark.parametrize(
    "names, said",
    [
        (["conv1_conv/kernel", "conv2_block1_1_conv/kernel"], "a ResNet of keras.applications"),
        (["resnet/root_block/standardized_conv2d/kernel"], "BiT's or REMEDIS's"),
        (["resnet_v1_50/conv1/weights"], "a ResNet of TF-Slim"),
        (["Transformer/encoderblock_0/LayerNorm_0/scale"], "of a transformer"),
        (["optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE", "save_counter"], "an optimizer alone"),
        (["base_model/conv2d/kernel/Momentum", "global_step"], "an optimizer alone"),
        (["_CHECKPOINTABLE_OBJECT_GRAPH", "save_counter"], "has no tensors"),
        (["model/dense/kernel", "model/dense_1/kernel"], "tensors such as model/dense/kernel"),
    ],
)
def test_families(names, said):
    assert said in seeming.family(names)
