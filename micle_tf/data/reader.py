"""Random access to the cases of a prepared split, and the index that makes it cheap."""

import dataclasses

import numpy as np
import tensorflow as tf

from data_builders.splits import STAND_INS
from micle_tf import console
from micle_tf.data.attributes import Attributes, parsed
from micle_tf.data.records import JoinedRecords
from micle_tf.files import save_arrays

READ_AT_ONCE = 16  # cases: photos can have megabytes


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
      pixel_hash: [I] int64, equal for images of equal pixels; [0] where that is not known.
      attributes: `Attributes` of the images; None in sets that have none, and in an index that a
        version before these wrote.
    """

    case_id: np.ndarray
    patient_id: np.ndarray
    first_image: np.ndarray
    image_id: np.ndarray
    class_label: np.ndarray
    findings: np.ndarray
    pixel_hash: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    attributes: Attributes | None = None

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
    def num_patients(self):
        """How many patients are known by name; a case or study that stands for one is none."""
        known = np.unique(self.patient_id[self.patient_id != ""])
        stand_ins = sum(int(np.char.startswith(known, text).sum()) for text in STAND_INS)
        return len(known) - stand_ins

    @property
    def patient_number(self):
        """[C] int64: equal for cases of one patient; a case of nobody known is alone."""
        keys = [
            p or f"\0{c}"
            for p, c in zip(self.patient_id.tolist(), self.case_id.tolist(), strict=True)
        ]
        return np.unique(keys, return_inverse=True)[1].astype(np.int64).reshape(-1)

    @classmethod
    def join(cls, indices):
        """The index of several splits read one after the other.

        They must be alike: all with classes, or all with the same findings.
        """
        if len(indices) == 1:
            return indices[0]
        fields = {
            field.name: np.concatenate([getattr(index, field.name) for index in indices])
            for field in dataclasses.fields(cls)
            if field.name not in ("first_image", "attributes")
        }
        if any(len(index.pixel_hash) < index.num_images for index in indices):
            fields["pixel_hash"] = np.zeros(0, np.int64)
        if any(index.attributes for index in indices):
            parts = [index.attributes for index in indices]
            fields["attributes"] = Attributes.join(parts, [index.num_images for index in indices])
        per_case = np.concatenate([index.images_per_case for index in indices])
        return cls(first_image=np.concatenate([[0], np.cumsum(per_case)]), **fields)

    def arrays(self):
        """{name: array}, the attributes' among them."""
        fields = dict(vars(self))
        attributes = fields.pop("attributes")
        return fields | (attributes.arrays() if attributes else {})

    def save(self, path):
        """Writes the index whole or not at all."""
        save_arrays(path, self.arrays())

    @classmethod
    def load(cls, path):
        """The inverse of `save`."""
        with np.load(path) as arrays:
            fields = {name: arrays[name] for name in arrays.files}
        return cls(attributes=Attributes.taken_from(fields), **fields)


class CaseReader:
    """The cases of one or more splits, by number, in a fixed order.

    Args:
      records: what they are read from: `records.ArrayRecords` and the like.
      index: the `CaseIndex` of the C cases.
      image_features: names of the features that hold encoded images; a record has one of them.
      numbers: [C] int64, the record of each case; None if case c is record c.
      turned: whether there may be photos with a mark that says how to turn them.
    """

    def __init__(self, records, index, image_features=("images",), numbers=None, turned=True):
        self.records, self.index, self.turned = records, index, turned
        self.image_features, self.numbers = tuple(image_features), numbers

    @classmethod
    def join(cls, readers, index):
        """The cases of several readers, one reader after the other, under one index."""
        if len(readers) == 1:
            (one,) = readers
            return cls(one.records, index, one.image_features, one.numbers, one.turned)
        numbers, first = [], 0
        for reader in readers:
            order = np.arange(reader.index.num_cases) if reader.numbers is None else reader.numbers
            numbers.append(order + first)
            first += len(reader.records)
        features = dict.fromkeys(name for reader in readers for name in reader.image_features)
        records = JoinedRecords([reader.records for reader in readers])
        numbers = np.concatenate(numbers).astype(np.int64)
        turned = any(reader.turned for reader in readers)
        return cls(records, index, tuple(features), numbers, turned)

    def read_records(self, cases):
        """The serialised cases; `cases` is [n] integers, the result n bytes strings."""
        return self.records.read(cases if self.numbers is None else self.numbers[cases])

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
        feature = tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64)
        parsed = tf.io.parse_example(records, dict.fromkeys(self.image_features, feature))
        images = [parsed[name] for name in self.image_features]
        return tf.concat(images, axis=1) if len(images) > 1 else images[0]


def stored_images(records):
    """Yields the encoded images of `records.ArrayRecords`, case by case."""
    for start in range(0, len(records), READ_AT_ONCE):
        for content in records.read(range(start, min(start + READ_AT_ONCE, len(records)))):
            feature = tf.train.Example.FromString(content).features.feature
            yield from feature["images"].bytes_list.value


def build_index(records, num_findings):
    """Reads every record once and notes all but the images; takes seconds for 10,000 cases.

    Args:
      records: the prepared cases: `records.ArrayRecords` and the like.
      num_findings: K; 0 where each image has one class.

    Returns:
      (index, stored_bytes): a `CaseIndex`, and the bytes of all encoded images together.
    """
    columns = {name: [] for name in ("case_id", "patient_id", "image_id", "view_position")}
    per_case, labels, pixel_hash, stated, stored_bytes = [], [], [], [], 0
    with console.Progress("indexing", len(records), "case") as progress:
        for start in range(0, len(records), READ_AT_ONCE):
            contents = records.read(range(start, min(start + READ_AT_ONCE, len(records))))
            for content in contents:
                feature = tf.train.Example.FromString(content).features.feature
                for name, values in columns.items():
                    values += [value.decode() for value in feature[name].bytes_list.value]
                per_case.append(len(feature["image_id"].bytes_list.value))
                stated += [parsed(text) for text in feature["attributes"].bytes_list.value]
                labels += feature["findings" if num_findings else "class_label"].int64_list.value
                pixel_hash += feature["pixel_hash"].int64_list.value
                stored_bytes += sum(map(len, feature["images"].bytes_list.value))
            progress.update(len(contents))
    findings = np.array(labels, np.int8).reshape(-1, num_findings) if num_findings else None
    attributes = Attributes.of_cases(stated, columns.pop("view_position"), per_case)
    index = CaseIndex(
        **{name: np.array(values, np.str_) for name, values in columns.items()},
        first_image=np.concatenate([[0], np.cumsum(per_case)]).astype(np.int64),
        class_label=np.zeros(0, np.int64) if num_findings else np.array(labels, np.int64),
        findings=findings if num_findings else np.zeros((0, 0), np.int8),
        pixel_hash=np.array(pixel_hash, np.int64),
        attributes=attributes,
    )
    return index, stored_bytes
