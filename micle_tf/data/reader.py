"""Random access to the cases of a prepared split, and the index that makes it cheap."""

import dataclasses
import os
import threading

import numpy as np
import tensorflow as tf
from array_record.python import array_record_data_source

from micle_tf import console

_READ_AT_ONCE = 16  # cases: photos can have megabytes


@dataclasses.dataclass(frozen=True)
class CaseIndex:
    """What is known of the C cases and I images of a split without reading the images.

    Images are numbered through, case by case: those of case c are
    `first_image[c] ... first_image[c + 1] - 1`.

    Attributes:
      case_id, patient_id: [C] str; a patient_id is "" if not known.
      first_image: [C + 1] int64.
      image_id: [I] str.
      class_label: [I] int64, -1 if unlabelled; or
      findings: [I, K] int8; the other one is empty.
    """

    case_id: np.ndarray
    patient_id: np.ndarray
    first_image: np.ndarray
    image_id: np.ndarray
    class_label: np.ndarray
    findings: np.ndarray

    @property
    def num_cases(self):
        """C."""
        return len(self.case_id)

    @property
    def num_images(self):
        """I."""
        return int(self.first_image[-1])

    @property
    def images_per_case(self):
        """[C] int64."""
        return np.diff(self.first_image)

    @property
    def case_of_image(self):
        """[I] int64: the number of the case that an image belongs to."""
        return np.repeat(np.arange(self.num_cases), self.images_per_case)

    @property
    def patient_number(self):
        """[C] int64: equal for cases of one patient; a case of nobody known is alone."""
        keys = [p or f"\0{c}" for p, c in zip(self.patient_id.tolist(), self.case_id.tolist())]
        return np.unique(keys, return_inverse=True)[1].astype(np.int64).reshape(-1)

    @classmethod
    def join(cls, indices):
        """The index of several splits read one after the other."""
        if len(indices) == 1:
            return indices[0]
        fields = {
            field.name: np.concatenate([getattr(index, field.name) for index in indices])
            for field in dataclasses.fields(cls)
            if field.name != "first_image"
        }
        per_case = np.concatenate([index.images_per_case for index in indices])
        return cls(first_image=np.concatenate([[0], np.cumsum(per_case)]), **fields)

    def save(self, path):
        """Writes the index whole or not at all."""
        unfinished = f"{path}.{os.getpid()}.tmp"
        with open(unfinished, "wb") as file:
            np.savez_compressed(file, **dataclasses.asdict(self))
        os.replace(unfinished, path)

    @classmethod
    def load(cls, path):
        """The inverse of `save`."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})


class CaseReader:
    """The cases of one or more splits, by number, in a fixed order.

    Args:
      files: array_record files, in order.
      index: the `CaseIndex` of what is in them.
    """

    def __init__(self, files, index):
        self.index = index
        self._source = array_record_data_source.ArrayRecordDataSource([str(f) for f in files])
        self._lock = threading.Lock()  # the source opens its files on first use, unguarded

    def read_records(self, cases):
        """The serialised cases; `cases` is [n] integers, the result n bytes strings."""
        with self._lock:
            return self._source.__getitems__([int(case) for case in cases])

    def read(self, cases):
        """Reads cases inside a tf.data pipeline.

        Args:
          cases: [n] int64 tensor of case numbers.

        Returns:
          A `tf.RaggedTensor` [n, (images)] of encoded images.
        """
        records = tf.numpy_function(
            lambda numbers: np.array(self.read_records(numbers), object),
            [cases],
            tf.string,
            stateful=False,
        )
        records.set_shape([None])
        parsed = tf.io.parse_example(
            records, {"images": tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64)}
        )
        return parsed["images"]


def build_index(files, num_findings):
    """Reads every record once and notes all but the images; takes seconds for 10,000 cases.

    Args:
      files: array_record files, in order.
      num_findings: K; 0 where each image has one class.

    Returns:
      A `CaseIndex`.
    """
    source = array_record_data_source.ArrayRecordDataSource([str(f) for f in files])
    columns = {name: [] for name in ("case_id", "patient_id", "image_id")}
    per_case, labels = [], []
    with console.Progress("indexing", len(source), "case") as progress:
        for start in range(0, len(source), _READ_AT_ONCE):
            end = min(start + _READ_AT_ONCE, len(source))
            records = source.__getitems__(list(range(start, end)))
            for record in records:
                feature = tf.train.Example.FromString(record).features.feature
                for name, values in columns.items():
                    values += [value.decode() for value in feature[name].bytes_list.value]
                per_case.append(len(feature["image_id"].bytes_list.value))
                labels += feature["findings" if num_findings else "class_label"].int64_list.value
            progress.update(len(records))
    findings = np.array(labels, np.int8).reshape(-1, num_findings) if num_findings else None
    return CaseIndex(
        **{name: np.array(values, np.str_) for name, values in columns.items()},
        first_image=np.concatenate([[0], np.cumsum(per_case)]).astype(np.int64),
        class_label=np.zeros(0, np.int64) if num_findings else np.array(labels, np.int64),
        findings=findings if num_findings else np.zeros((0, 0), np.int8),
    )
