"""What is known of images beside their labels: sex, age, view, as the owners' tables say it."""

import dataclasses
import json

import numpy as np

LONGEST = 64  # characters; an attribute with longer values is free text, which is no attribute
_SAVED = "attribute_"
VIEW = "view"  # the name that an image's view has among them


@dataclasses.dataclass(frozen=True)
class Attributes:
    """Texts of I images, each text stored once.

    Attributes:
      names: [A] str, of the attributes.
      values: [V] str, the distinct texts of all of them; "" where nothing is stated.
      codes: [A, I] int32, places in `values`.
    """

    names: np.ndarray
    values: np.ndarray
    codes: np.ndarray

    @classmethod
    def of_columns(cls, columns, num_images):
        """From {name: [I] texts}; an attribute that says nothing, or is free text, is left out."""
        longest = {name: max(map(len, texts), default=0) for name, texts in columns.items()}
        kept = {name: texts for name, texts in columns.items() if 0 < longest[name] <= LONGEST}
        texts = [text for column in kept.values() for text in column]
        values, codes = np.unique(np.array(texts, np.str_), return_inverse=True)
        shape = len(kept), num_images
        return cls(np.array(list(kept), np.str_), values, codes.reshape(shape).astype(np.int32))

    @classmethod
    def of_cases(cls, stated, views, images_per_case):
        """As cases state them.

        Args:
          stated: [C] mappings {name: text, or a list with one of each image of the case}.
          views: [I] str.
          images_per_case: [C] int.
        """
        columns = {name: [] for name in dict.fromkeys(name for one in stated for name in one)}
        for attributes, images in zip(stated, images_per_case, strict=True):
            for name, column in columns.items():
                texts = attributes.get(name, "")
                column += texts if isinstance(texts, list) else [texts] * images
        if any(views):
            columns[VIEW] = list(views)
        return cls.of_columns(columns, len(views))

    @classmethod
    def join(cls, parts, images):
        """Of several splits, one after the other.

        Args:
          parts: `Attributes`, or None where nothing is known.
          images: how many images each has.
        """
        names = dict.fromkeys(str(name) for one in parts if one for name in one.names)
        nothing = [np.full(n, "") for n in images]
        columns = {
            name: np.concatenate(
                [
                    one.of(name) if one and name in one.names else blank
                    for one, blank in zip(parts, nothing, strict=True)
                ]
            ).tolist()
            for name in names
        }
        return cls.of_columns(columns, sum(images))

    def of(self, name):
        """[I] str of an attribute; raises KeyError if there is none of the name."""
        places = np.flatnonzero(self.names == name)
        if not len(places):
            raise KeyError(name)
        return self.values[self.codes[places[0]]]

    def arrays(self):
        """{name: array} to save."""
        return {_SAVED + f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @classmethod
    def taken_from(cls, arrays):
        """The inverse of `arrays`, which are taken out of a mapping; None if they are not there."""
        fields = {f.name: arrays.pop(_SAVED + f.name, None) for f in dataclasses.fields(cls)}
        return None if any(array is None for array in fields.values()) else cls(**fields)


def parsed(text):
    """The mapping of a record's JSON text, whose values may be no text."""
    as_text = lambda value: value if isinstance(value, str) else json.dumps(value)
    return {
        name: [as_text(one) for one in value] if isinstance(value, list) else as_text(value)
        for name, value in json.loads(text or "{}").items()
    }
