"""The image files of a dataset: found in one folder, and nowhere else."""

import dataclasses
import errno
import functools
import os
import stat

from data_builders.schema import BadData, BadImages

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".dcm", ".dicom")


@dataclasses.dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file: its real path, what a message calls it, its size in bytes, when it was
    written (nanoseconds since 1970).

    `key` is the same for two paths of one file, hard links included. Called, it gives the
    content.
    """

    path: str
    shown: str
    size: int
    key: str | tuple
    written: int = 0

    def __call__(self):
        """All bytes of the file."""
        return self.beginning(self.size)

    def beginning(self, length):
        """The first bytes of the file.

        Raises:
          OSError: it cannot be read, or is another than the one that was found: a link, a pipe or
            a device in its place, or a file of another size or date.
        """
        # Opening a pipe would wait for somebody who writes to it.
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            folder = os.path.dirname(self.path)
            if (
                not stat.S_ISREG(status.st_mode)
                or status.st_size != self.size
                or (self.written and status.st_mtime_ns != self.written)
                or os.path.realpath(folder) != folder
            ):
                raise OSError(errno.ESTALE, "is not the file any more that was found")
            return file.read(min(length, self.size))


class ImageFolder:
    """Finds images in one folder, and nowhere else.

    Args:
      root: the folder, as the user wrote it.
      bad_images: `BadImages` to which an image is added that is missing or lies elsewhere.
      searches: whether a message on an image that is missing says where below the folder one of
        its file name is.
    """

    def __init__(self, root, bad_images=None, searches=False):
        self._root, self._bad_images = root, bad_images or BadImages()
        self._searches = searches
        self._real_root = os.path.join(os.path.realpath(root), "")
        self._real_folder = functools.cache(self._find_real_folder)

    def find(self, name, where):
        """The `ImageFile` of a name; None if it is missing or lies elsewhere, and left out.

        Args:
          name: path relative to the folder; the ending may be missing.
          where: the row that names it, for messages.

        Raises:
          BadData: it is one more bad image than may be left out.
        """
        has_ending = name.lower().endswith(IMAGE_ENDINGS)
        for ending in ("",) if has_ending else ("", *IMAGE_ENDINGS):
            shown = os.path.join(self._root, name + ending)
            path = os.path.join(self._real_folder(os.path.dirname(shown)), os.path.basename(shown))
            if os.path.islink(path):
                path = os.path.realpath(path)
            if not path.startswith(self._real_root):
                self._bad_images.add(
                    f"{where}: {name} lies outside the image folder {self._root or '.'}"
                )
                return None
            try:
                status = os.stat(path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                shown = path if shown == path else shown  # one string less in memory
                key = (status.st_dev, status.st_ino) if status.st_nlink > 1 else path
                return ImageFile(path, shown, status.st_size, key, status.st_mtime_ns)
        missing = f"{where}: no such image: {os.path.join(self._root, name)}"
        self._bad_images.add(missing + self._whereabouts(name))
        return None

    def _whereabouts(self, name):
        elsewhere = self._names_below.get(os.path.basename(name)) if self._searches else None
        return f"; there is {elsewhere}: name images by their path from there" if elsewhere else ""

    @functools.cached_property
    def _names_below(self):
        try:
            return self.by_file_name("")
        except (BadData, OSError):  # two of one name: which one is meant nobody knows
            return {}

    def _find_real_folder(self, folder):
        """`os.path.realpath`, asking only once for folders that hold many others."""
        above, name = os.path.split(folder)
        if name in ("", os.curdir, os.pardir) or above in ("", folder) or os.path.islink(folder):
            return os.path.realpath(folder)
        return os.path.join(self._real_folder(above), name)

    def by_file_name(self, where):
        """{file name: name for `find`} of all images below the folder, however deep.

        Hidden files are passed over. Some copies of a dataset hold every image twice: of two
        files of one name and size the first one is taken. Raises BadData, starting with
        `where`, if their sizes differ.
        """
        names, walked = {}, set()
        # Links are followed, so that `find` says of what lies elsewhere that it does.
        for folder, subfolders, files in os.walk(self._root, followlinks=True):
            real = os.path.realpath(folder)
            subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
            if real in walked:
                subfolders.clear()
                continue
            walked.add(real)
            inside = os.path.relpath(folder, self._root)
            for file in sorted(files):
                if not file.startswith(".") and file.lower().endswith(IMAGE_ENDINGS):
                    name = os.path.normpath(os.path.join(inside, file))
                    first = names.setdefault(file, name)
                    if first != name and self._size(first) != self._size(name):
                        raise BadData(
                            f"{where}: two images are called {file}: {first}, {name}; leave one of "
                            "them there"
                        )
        return names

    def by_stem(self, where):
        """`by_file_name`, by the names without their endings."""
        return {os.path.splitext(n)[0]: path for n, path in self.by_file_name(where).items()}

    def _size(self, name):
        """Bytes of a file; -1 for a link to nowhere."""
        path = os.path.join(self._root, name)
        return os.path.getsize(path) if os.path.exists(path) else -1

    def image_id(self, name):
        """The name, unless it is a local path."""
        if not os.path.isabs(name):
            return name
        folder, file = os.path.split(name)
        return os.path.relpath(os.path.join(self._real_folder(folder), file), self._real_root)
