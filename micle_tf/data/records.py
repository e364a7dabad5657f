"""Serialised records by number, out of array_record or TFRecord files.

A source of records has a length and `read(numbers)`, which many threads may call at once and
which gives a list of bytes. None of them keeps what it has read.
"""

import os
import struct
import threading

import numpy as np
from array_record.python import array_record_data_source

from micle_tf.errors import BadInput

# A TFRecord: length of the data (uint64, little endian), CRC of the length (uint32), the data,
# CRC of the data (uint32). The length is held against the index, and so the CRCs are not read.
_HEADER, _FOOTER = 12, 4


class ArrayRecords:
    """The records of array_record files, one file after the other.

    Args:
      files: paths, in order.

    Raises:
      BadInput: a file is missing or damaged.
    """

    def __init__(self, files):
        _allow_open_files()
        self._files = [os.fspath(file) for file in files]
        try:
            self._source = array_record_data_source.ArrayRecordDataSource(self._files)
        except RuntimeError as error:
            raise self._failure(error) from error
        self._lock = threading.Lock()  # the source opens its files on first use, unguarded

    def __len__(self):
        return len(self._source)

    def read(self, numbers):
        """[n] integers to a list of n bytes strings; raises BadInput if a record is damaged."""
        numbers = [int(number) for number in numbers]
        try:
            with self._lock:
                return self._source.__getitems__(numbers) if numbers else []
        except RuntimeError as error:
            raise self._failure(error) from error

    def _failure(self, error):
        for file in self._files:
            if not os.path.exists(file):
                return BadInput(f"{file}: there is no such file; prepare the data again")
        reason = " ".join(str(error).split())[:200]
        folder = os.path.dirname(self._files[0])
        return BadInput(f"{folder}: the records are damaged, prepare the data again: {reason}")


class TFRecords:
    """The records of uncompressed TFRecord files, one file after the other.

    Args:
      files: paths, in order.
      offsets, lengths, counts: what `tfrecord_offsets` found in them.
    """

    def __init__(self, files, offsets, lengths, counts):
        _allow_open_files()
        self._files = [os.fspath(file) for file in files]
        self._offsets, self._lengths = offsets, lengths
        self._ends = np.cumsum(counts)
        self._descriptors = {}
        self._lock = threading.Lock()

    def __len__(self):
        return len(self._offsets)

    def __del__(self):
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def read(self, numbers):
        """[n] integers to a list of n bytes strings.

        Raises:
          BadInput: a file is missing or not what was indexed.
        """
        numbers = np.asarray(numbers, np.int64)
        files = np.searchsorted(self._ends, numbers, side="right").tolist()
        places = list(
            zip(
                files, self._offsets[numbers].tolist(), self._lengths[numbers].tolist(), strict=True
            )
        )
        if hasattr(os, "posix_fadvise"):  # the disk may fetch them all at once: twice as fast
            for file, offset, length in places:
                os.posix_fadvise(
                    self._descriptor(file), offset, _HEADER + length, os.POSIX_FADV_WILLNEED
                )
        return [self._read(*place) for place in places]

    def _read(self, file, offset, length):
        content = os.pread(self._descriptor(file), _HEADER + length, offset)
        if len(content) < _HEADER + length or _length(content) != length:
            raise BadInput(
                f"{self._files[file]}: changed since it was indexed: no record of {length:,} bytes "
                f"at byte {offset:,}"
            )
        return content[_HEADER:]

    def _descriptor(self, file):
        if file not in self._descriptors:
            with self._lock:
                if file not in self._descriptors:
                    self._descriptors[file] = _open(self._files[file])
        return self._descriptors[file]


def tfrecord_offsets(files):
    """Where the records of TFRecord files lie, by their headers alone.

    Args:
      files: paths of uncompressed TFRecord files, in order.

    Returns:
      (offsets, lengths, counts): [N] int64, the byte of its file at which the header of a record
      begins; [N] int64, bytes of its data; [number of files] int64, records per file.

    Raises:
      BadInput: a file cannot be read, or ends within a record.
    """
    of_files = [_offsets_of_file(os.fspath(file)) for file in files]
    offsets, lengths = (
        np.concatenate([np.zeros(0, np.int64), *part]) for part in zip(*of_files, strict=True)
    )
    return offsets, lengths, np.array([len(part[0]) for part in of_files], np.int64)


def _offsets_of_file(file):
    offsets, lengths = [], []
    descriptor = _open(file)
    try:
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            header = os.pread(descriptor, _HEADER, offset)
            length = _length(header) if len(header) == _HEADER else size
            if offset + _HEADER + length + _FOOTER > size:
                raise BadInput(
                    f"{file}: damaged or cut short: record {len(offsets):,} ends after the "
                    f"{size:,} bytes of the file; prepare the data again"
                )
            offsets.append(offset)
            lengths.append(length)
            offset += _HEADER + length + _FOOTER
    finally:
        os.close(descriptor)
    return np.array(offsets, np.int64), np.array(lengths, np.int64)


def _length(header):
    return struct.unpack_from("<Q", header)[0]


class JoinedRecords:
    """The records of several sources, one after the other."""

    def __init__(self, sources):
        self._sources = list(sources)
        self._first = np.cumsum([0] + [len(source) for source in self._sources])

    def __len__(self):
        return int(self._first[-1])

    def read(self, numbers):
        """[n] integers to a list of n bytes strings."""
        numbers = np.asarray(numbers, np.int64)
        owner = np.searchsorted(self._first, numbers, side="right") - 1
        records = [b""] * len(numbers)
        for source in np.unique(owner):
            rows = np.flatnonzero(owner == source)
            read = self._sources[source].read(numbers[rows] - self._first[source])
            for row, record in zip(rows, read, strict=True):
                records[row] = record
        return records


def _open(file):
    try:
        return os.open(file, os.O_RDONLY)
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from error


def _allow_open_files():
    """Every file stays open, and ImageNet has 1,024: more than most shells allow unless asked."""
    import resource  # which not every system has

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
