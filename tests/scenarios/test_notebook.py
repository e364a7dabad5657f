"""colab/micle_in_ten_minutes.ipynb: runs top to bottom, made small, and is kept as it ran."""

import json
import pathlib
import re

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from data_builders.derm_cases import synthetic
from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.demo import ARMS
from micle_tf.evaluation.predictions_file import read_predictions

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "colab" / "micle_in_ten_minutes.ipynb"
PATIENTS = {"train": 90, "validation": 25, "test": 40}
STEPS = 2
_SMALL = """
from tests import made_small
made_small.commands()
"""
# Appended to the notebook: what its variables hold after the last cell.
_ASK = """
import json
print(json.dumps({
    "top1": top1, "bars": [bar.get_height() for bar in bars], "found": found["case/top1"],
    "case_id": str(test.index.case_id[case]), "names": names,
    "probabilities": probabilities.tolist(), "truth": truth, "finetune": run("finetune"),
}))
"""


def _code_cells(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def _pictures(cell):
    return [output for output in cell.outputs if "image/png" in output.get("data", {})]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """(the notebook after a run of STEPS steps on few cases, what its variables hold)."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "PATIENTS_PER_SPLIT", PATIENTS)
        cases.open_cases(Config(data_dir=str(folder / "data")))
        # A kernel of this Python, that finds this checkout and none of the user's settings.
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("JUPYTER_DATA_DIR", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("MICLE_NOTEBOOK_STEPS", str(STEPS))
        patch.setenv("MICLE_NOTEBOOK_WORK", str(folder / "runs"))
        patch.setenv("MICLE_NOTEBOOK_DATA_DIR", str(folder / "data"))
        book = nbformat.read(NOTEBOOK, as_version=4)
        book.cells.insert(0, nbformat.v4.new_code_cell(_SMALL))
        book.cells.append(nbformat.v4.new_code_cell(_ASK))
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(
            book, timeout=600, kernel_name="python3", resources=resources, coalesce_streams=True
        )
        client.execute()
    (output,) = book.cells[-1].outputs
    return book, json.loads(output.text)


@pytest.mark.slow
def test_every_cell_runs_and_nothing_warns(executed):
    book, _ = executed
    cells = _code_cells(book)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data"}
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []


@pytest.mark.slow
def test_three_bars_show_the_linear_evaluations(executed):
    book, held = executed
    (cell,) = [cell for cell in book.cells if cell.id == "bars"]
    assert len(_pictures(cell)) == 1
    assert tuple(held["top1"]) == ARMS and held["bars"] == list(held["top1"].values())
    folder = pathlib.Path(held["finetune"]).parent
    for arm, value in held["top1"].items():
        levels, _, _ = read_predictions(folder / f"{arm}-linear_eval")
        rows = levels["case"]
        assert value == pytest.approx(np.mean(rows["score"].argmax(axis=1) == rows["label"]))
    difference, low, high = held["found"]
    assert difference == pytest.approx(held["top1"]["micle"] - held["top1"]["simclr"])
    assert low <= difference <= high


@pytest.mark.slow
def test_arms_are_trained_for_equal_steps(executed):
    folder = pathlib.Path(executed[1]["finetune"]).parent
    configs = {
        name: json.loads((folder / name / "config.json").read_text())
        for name in ("simclr", "simclr-half", "micle")
    }
    assert {name: config["train_steps"] for name, config in configs.items()} == {
        "simclr": 2 * STEPS, "simclr-half": STEPS, "micle": STEPS,
    }  # fmt: skip
    assert configs["micle"]["method"] == "micle"
    assert configs["micle"]["checkpoint"] == str(folder / "simclr-half")


@pytest.mark.slow
def test_exported_model_answers_as_the_fine_tuning_did(executed):
    _, held = executed
    levels, names, _ = read_predictions(held["finetune"])
    rows = levels["case"]
    (row,) = np.flatnonzero(rows["ids"][:, 1] == held["case_id"])
    assert tuple(held["names"]) == names
    assert sum(held["probabilities"]) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(held["probabilities"], rows["score"][row], atol=1e-5)
    assert held["truth"] == names[rows["label"][row]]


def test_committed_notebook_ran_from_top_to_bottom():
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(book)
    cells = _code_cells(book)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data"}
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert all("execution" not in cell.metadata for cell in book.cells)
    shown = {cell.id for cell in cells if _pictures(cell)}
    assert shown == {"look", "pairs", "curves", "bars", "ask"}
    assert book.metadata.kernelspec.name == "python3"


def test_committed_notebook_is_small_and_names_no_local_path():
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 700_000
    # Pictures are base64, in which anything may turn up.
    text = re.sub(r'"image/png": "[^"]*"', "", text)
    roots = "tmp|work|root|home|Users|content|opt|usr|var|mnt"
    assert re.findall(rf"(?<![\w.~/-])/(?:{roots})/\S*", text) == []
