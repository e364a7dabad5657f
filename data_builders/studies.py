"""What studies say where patients are not known, and what numbers of studies mean.

| patients  | group_by    | and                          | then                                    |
|-----------|-------------|------------------------------|-----------------------------------------|
| not known | case, image | every case lies in one study | the cases of a study stay in one split  |
| not known | study       | a case has several studies   | the studies of a case stay in one split |
| any       | study       | ... and a study several      | a study is patient/study, or case/study |
|           |             | cases, of several patients   |                                         |
|           |             | if they are known            |                                         |
"""

import collections

from data_builders.ids import LITERAL, Spellings, alike
from data_builders.splits import study_key

# A study of more cases than both may be a number that every patient has; of fewer, where the images
# of a study become one case.
_MANY_CASES, _MANY_IN_A_STUDY, _LARGE_SHARE = 20, 4, 0.1
_FEW = 0.1  # of the cases


class Studies:
    """The studies of a table.

    Args:
      rows: list of `grouping.ImageRow`; blank study_ids say nothing.
      options: reads `group_by` and `ids` of `grouping.ReadOptions`.

    Attributes:
      notes: one line each on what was decided.
      decisions: texts that say the same to a hash; empty if studies changed nothing.
    """

    def __init__(self, rows, options):
        self.notes, self.decisions = [], []
        self._nested, self._with_several_cases, self._with_several_studies = False, set(), set()
        self._by_study = options.group_by == "study"
        known = any(row.patient_id for row in rows)
        matter = self._by_study or (not known and options.group_by != "patient")
        self._spellings = Spellings(
            (row.study_id for row in rows) if matter and options.ids != LITERAL else (), alike
        )
        if options.ids == LITERAL or not matter or not any(row.study_id for row in rows):
            return
        cases, studies, patients = (collections.defaultdict(set) for _ in range(3))
        for row in rows:
            if row.study_id:
                study = self._first(row)
                cases[study].add(row.case_id)
                studies[row.case_id].add(study)
                patients[study].add(row.patient_id)
        if self._by_study:
            unknown = {row.case_id for row in rows if not row.patient_id}
            self._read_numbers(cases, studies, patients, unknown)
        elif all(len(found) == 1 for found in studies.values()):
            self._read_owners(cases, len({row.case_id for row in rows}))
        elif any(len(found) > 1 for found in cases.values()):
            several = sorted(case for case, found in studies.items() if len(found) > 1)
            if len(several) < _FEW * len(studies):  # a slip of the pen, maybe
                self.notes.append(
                    f"cases lie in several studies, as {several[0]} ({len(several):,} of "
                    f"{len(studies):,}), so that studies do not keep cases in one split"
                )
        if self._spellings.groups and (self._by_study or self._with_several_cases):
            self.decisions.append("studies alike")
            self.notes.append(self._spellings.note("studies"))

    def _read_numbers(self, cases, studies, patients, unknown):
        """Whether a study_id is a number within the patient or case."""
        several = {case for case, found in studies.items() if len(found) > 1}
        self._with_several_studies = several & unknown
        self._nested = bool(several) and any(
            len(cases[study]) > 1 and (patients[study] == {""} or len(patients[study]) > 1)
            for study in cases
        )
        if self._nested:
            within = "case" if unknown >= studies.keys() else "patient"
            self.decisions.append("numbers of studies")
            self.notes.append(
                f"study_id is a number within the {within}, so that a study is {within}/study"
            )
        if self._with_several_studies:
            self.decisions.append("studies of a case")
            self.notes.append("patients are not known: the studies of a case stay in one split")
        if not self._nested and any(found == {""} for found in patients.values()):
            self._note_on_many(cases, len(studies), _MANY_IN_A_STUDY)

    def _read_owners(self, cases, num_cases):
        """Which studies have several cases, which are then one patient's."""
        self._with_several_cases = {study for study, found in cases.items() if len(found) > 1}
        if not self._with_several_cases:
            return
        self.decisions.append("cases of a study")
        self.notes.append(
            "patients are not known: the cases of a study stay in one split "
            f"({len(self._with_several_cases):,} of {len(cases):,} studies have several)"
        )
        self._note_on_many(cases, num_cases, _MANY_CASES)

    def _note_on_many(self, cases, num_cases, many):
        """A note on a study of so many cases that it may be a number that every patient has."""
        largest = min(cases, key=lambda study: (-len(cases[study]), study))
        number = len(cases[largest])
        if number > max(many, _LARGE_SHARE * num_cases):
            self.notes.append(
                f"study {largest} has {number:,} of {num_cases:,} cases: if study_id is a number "
                "within the patient, name the column of patients with --columns=patient_id=..., or "
                "say --columns=study_id="
            )

    def _first(self, row):
        return self._spellings.first.get(row.study_id, row.study_id)

    def id_of(self, row):
        """The name of the study of a row, unique in the table."""
        if self._nested:
            return f"{row.patient_id or row.case_id}/{self._first(row)}"
        return self._first(row)

    def spellings(self, row, cases):
        """All names that `id_of` might have given the study of a row, was it written otherwise.

        `cases`: the spellings of its case.
        """
        group = self._spellings.of(row.study_id)
        return [f"{case}/{text}" for case in cases for text in group] if self._nested else group

    def owners(self, row):
        """Keys of the study in whose split a row without a patient stays; () for none."""
        if row.study_id and self._first(row) in self._with_several_cases:
            return [study_key(text) for text in self._spellings.of(row.study_id)]
        return ()

    def keeps_case(self, row):
        """Whether a row without a patient stays in its case's split, which has other studies."""
        return row.case_id in self._with_several_studies
