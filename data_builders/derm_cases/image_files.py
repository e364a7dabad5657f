"""The image files of a manifest: found in one folder, and nowhere else."""

import dataclasses
import functools
import os
import stat

from data_builders.case_builder import BadData

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image file: its real path, what a message calls it, its size in bytes.

    `key` is the same for two paths of one file, hard links included.
    """

    path: str
    shown: str
    size: int
    key: str | tuple


class ImageFolder:
    """Finds images in one folder, and nowhere else."""

    def __init__(self, root):
        self._root = root
        self._real_root = os.path.join(os.path.realpath(root), "")
        self._real_folder = functools.cache(os.path.realpath)  # folders hold many images each

    def find(self, name, where):
        """The `ImageFile` of a name; raises BadData if it is missing or lies elsewhere."""
        has_ending = name.lower().endswith(IMAGE_ENDINGS)
        for ending in ("",) if has_ending else ("", *IMAGE_ENDINGS):
            shown = os.path.join(self._root, name + ending)
            path = os.path.join(self._real_folder(os.path.dirname(shown)), os.path.basename(shown))
            if os.path.islink(path):
                path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                raise BadData(f"{where}: {name} lies outside the image folder {self._root or '.'}")
            try:
                status = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else path
                return ImageFile(path, shown, status.st_size, key)
        raise BadData(f"{where}: no such image: {os.path.join(self._root, name)}")

    def image_id(self, name):
        """The name, unless it is a local path."""
        if not os.path.isabs(name):
            return name
        folder, file = os.path.split(name)
        return os.path.relpath(os.path.join(self._real_folder(folder), file), self._real_root)
