import os
import subprocess
import sys

import pytest
import tensorflow as tf

from micle_tf.pretrained.storage import is_file, is_folder, names_in, on_disk, read, size_of


@pytest.mark.parametrize("remote", [False, True])
def test_the_same_answers_on_a_disk_and_elsewhere(remote, tmp_path):
    root = "ram://storage" if remote else str(tmp_path)
    tf.io.gfile.makedirs(f"{root}/folder/inner")
    with tf.io.gfile.GFile(f"{root}/folder/b.bin", "wb") as file:
        file.write(b"0123456789")
    assert is_folder(f"{root}/folder") and not is_file(f"{root}/folder")
    assert is_file(f"{root}/folder/b.bin") and not is_folder(f"{root}/folder/b.bin")
    assert not is_file(f"{root}/none") and not is_folder(f"{root}/none")
    assert names_in(f"{root}/folder") == ["b.bin", "inner"]
    assert names_in(f"{root}/none") == []
    assert size_of(f"{root}/folder/b.bin") == 10
    assert read(f"{root}/folder/b.bin", 4) == b"0123"
    assert read(f"{root}/folder/b.bin") == b"0123456789"
    with on_disk(f"{root}/folder/b.bin") as path:
        assert os.path.basename(path) == "b.bin"
        with open(path, "rb") as file:
            assert file.read() == b"0123456789"
    assert os.path.exists(path) == (not remote)


def test_a_disk_is_looked_at_without_tensorflow(tmp_path):
    (tmp_path / "ckpt-1.index").write_bytes(b"")
    source = (
        "import sys; from micle_tf import pretrained; "
        f"print(pretrained.is_weights({str(tmp_path)!r}), "
        f"pretrained.is_weights({str(tmp_path / 'ckpt-1')!r}), "
        "{'tensorflow', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "True True set()\n", done.stderr
