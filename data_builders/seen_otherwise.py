"""Whether the pictures of a dataset look otherwise than the first version of its reader saw them.

It stored photos lying on their side whatever their EXIF said, and let the padding of DICOM files
count. Data of which that was true has another name now, so that no run goes on with pictures that
are not those it began with; all other data keeps its name. Only the beginning of each file is read.
"""

import itertools
import os
from concurrent import futures

from data_builders.images import DICOM_GROUPS, header_is_whole, orientation

# Bytes: most headers of photos, and all that DICOM says of the pixels before them.
_BEGINNING, _BEGINNING_OF_DICOM = 1 << 16, 1 << 20
_FILES_AT_ONCE = 256


def seen_otherwise(source, max_image_bytes, progress=None):
    """Whether one image file at least is turned by its EXIF, or is DICOM with padding, a modality
    LUT, or a VOI LUT that may begin below zero.

    Args:
      source: `CaseSource`.
      max_image_bytes: larger files are refused anyway.
      progress: called with the number of files that were looked at since.
    """
    files = (
        image.read
        for members in source.cases.values()
        for case in members
        for image in case.images
        if hasattr(image.read, "beginning") and image.read.size <= max_image_bytes
    )
    with futures.ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        while some := list(itertools.islice(files, _FILES_AT_ONCE)):
            if any(pool.map(file_is_seen_otherwise, some)):
                return True
            if progress:
                progress(len(some))
    return False


def file_is_seen_otherwise(file):
    """The same of one `ImageFile`; False for one that cannot be read, which preparing will name."""
    try:
        content = file.beginning(_BEGINNING)
        if content[128:132] == b"DICM" or content[:2] in DICOM_GROUPS:
            return _dicom_is_seen_otherwise(file.beginning(_BEGINNING_OF_DICOM))
        return orientation(content if header_is_whole(content) else file()) != 1
    except OSError:
        return False


def _dicom_is_seen_otherwise(content):
    try:
        from data_builders.reading.dicom import says_padding_or_lut
    except ImportError:  # of the extra
        return False
    return says_padding_or_lut(content)
