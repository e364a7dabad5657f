"""Bad input, through the command line: exit 2, one line on stderr, nothing written."""

import csv
import os
import pathlib
import struct
import zlib

import pytest
import tensorflow as tf

from micle_tf import cli
from tests.generated_cases import TINY, write_cases


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with good cases, to be spoilt by a test; everything else stays in tmp_path."""
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=12)
    return tmp_path / "photos"


def change(photos, row, **values):
    """Changes fields of a row of cases.csv; rows count from 2, as in messages."""
    with open(photos / "cases.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[row - 2].update(values)
    with open(photos / "cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], *(n for n in values if n not in rows[0])])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def drop(photos, column):
    rows = change(photos, 2)
    with open(photos / "cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [n for n in rows[0] if n != column], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def image_of(photos, row):
    return photos / change(photos, row)[row - 2]["image"]


def huge_png(path):
    """A PNG whose header claims 100,000 x 100,000 pixels."""
    chunk = lambda kind, data: (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IEND", b""))


def outside_link(photos):
    secret = photos.parent / "elsewhere.jpg"
    secret.write_bytes(image_of(photos, 2).read_bytes())
    os.symlink(secret, photos / "images" / "link.jpg")
    change(photos, 2, image="images/link.jpg")


ROW = "photos/cases.csv row"
FAULTS = {
    "no manifest": (
        lambda photos: (photos / "cases.csv").unlink(),
        "--manifest=photos/cases.csv: no such file or folder",
    ),
    "no column": (
        lambda photos: drop(photos, "case_id"),
        f"{ROW} 1: no column case_id; it has patient_id, image, label, view; name yours with "
        "--columns=case_id=...",
    ),
    "parent folder": (
        lambda photos: change(photos, 3, image="../other.jpg"),
        f"{ROW} 3: ../other.jpg lies outside the image folder photos",
    ),
    "absolute path": (
        lambda photos: change(photos, 3, image="/etc/hostname.jpg"),
        f"{ROW} 3: /etc/hostname.jpg lies outside the image folder photos",
    ),
    "link": (
        outside_link,
        f"{ROW} 2: images/link.jpg lies outside the image folder photos",
    ),
    "missing file": (
        lambda photos: change(photos, 4, image="images/none.jpg"),
        f"{ROW} 4: no such image: photos/images/none.jpg",
    ),
    "empty file": (
        lambda photos: image_of(photos, 4).write_bytes(b""),
        f"{ROW} 4: photos/images/c1_1.jpg: the file is empty",
    ),
    "truncated file": (
        lambda photos: image_of(photos, 4).write_bytes(image_of(photos, 4).read_bytes()[:-40]),
        f"{ROW} 4: photos/images/c1_1.jpg: the image is damaged or cut short",
    ),
    "no image": (
        lambda photos: image_of(photos, 4).write_text("This is no photo."),
        f"{ROW} 4: photos/images/c1_1.jpg: not a JPEG, PNG or DICOM image",
    ),
    "huge image": (
        lambda photos: huge_png(image_of(photos, 4)),
        f"{ROW} 4: photos/images/c1_1.jpg: 100000 x 100000 pixels are more than "
        "--max_pixels=100000000",
    ),
    "one image in two cases": (
        lambda photos: change(photos, 4, image="images/../images/c0_0.jpg"),
        f"{ROW} 4: image images/../images/c0_0.jpg is in case c0 too ({ROW} 2)",
    ),
    "patient in two splits": (
        lambda photos: (change(photos, 2, split="train"), change(photos, 3, split="test")),
        f"{ROW} 3: patient p0 is in test, but in train in {ROW} 2; a patient must stay in one "
        "split",
    ),
    "contradiction": (
        lambda photos: change(photos, 4, label="star"),
        f"{ROW} 4: case c1 has label star, but ring in {ROW} 3; if the images of a case may "
        "differ, say --labels_shared_by_case=false",
    ),
    "unknown split": (
        lambda photos: change(photos, 3, split="tran"),
        f"{ROW} 3: split tran is not one of train, validation, test",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_data_that_cannot_be_used(photos, fault, capsys):
    spoil, message = FAULTS[fault]
    spoil(photos)
    argv = ["--mode=pretrain", "--manifest=photos/cases.csv", "--data_dir=data", *TINY]
    assert cli.main(argv) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    written = {path.name for path in pathlib.Path().iterdir()} - {"photos", "elsewhere.jpg"}
    assert written == set()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--findings=Edema"],
            "--findings=Edema: photos/cases.csv has no column Edema; it has case_id, patient_id, "
            "image, label, view",
        ),
        (
            ["--findings_column=labels"],
            "--findings_column=labels: photos/cases.csv has no column labels; it has case_id, "
            "patient_id, image, label, view; did you mean label?",
        ),
        (
            ["--columns=label=dx"],
            "--columns=label=dx: photos/cases.csv has no column dx; it has case_id, patient_id, "
            "image, label, view",
        ),
        (
            ["--mode=finetune", "--train_split=dev"],
            "--train_split=dev: {data} has train, validation, test",
        ),
        (["--mode=finetune", "--top_classes=2"], "--top_classes=2: {data} has only 2 classes"),
        (
            ["--mode=finetune", "--label_fraction=0"],
            "--label_fraction=0.0: must be at least 0.0001",
        ),
        (["--mode=finetune", "--label_fraction=10"], "--label_fraction=10.0: must be at most 1"),
        (
            ["--mode=finetune", "--validate_every=often"],
            "--validate_every=often: give epochs or steps, as 2epochs or 500steps",
        ),
        (
            ["--mode=finetune", "--train_batch_size=500"],
            "--train_batch_size=500: --train_split=train has only {train} labelled images",
        ),
        (["--mode=finetune", "--best_metric=f1"], "--best_metric=f1: not one of loss, {metrics}"),
        (
            ["--mode=finetune", "--ft_proj_selector=1"],
            "--ft_proj_selector=1: the layers of a projection head come from a pretraining; name "
            "one with --checkpoint=RUN",
        ),
        (
            ["--mode=evaluate"],
            "--mode=evaluate: name a linear_eval or finetune run with --checkpoint=RUN",
        ),
        (["--mode=export"], "--mode=export: name a run with --checkpoint=RUN"),
        (
            ["--mode=export", "--export_name=a/b"],
            "--export_name=a/b: letters, digits, dots, dashes and underscores",
        ),
    ],
)
def test_flags_that_do_not_fit_the_data(photos, arguments, message, capsys):
    rows = change(photos, 2)
    argv = ["--manifest=photos/cases.csv", "--data_dir=data", *TINY, *arguments]
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    names = [line for line in shown.out.splitlines() if line.startswith("derm_cases/")]
    data = names[0].partition(":")[0] if names else ""
    train = [line for line in shown.out.splitlines() if line.startswith("  train:")]
    labelled = train[0].split()[-3] if train else ""
    metrics = ", ".join(
        f"{level}/{name}"
        for level in ("image", "case")
        for name in ("top1", "balanced_accuracy", "auc_macro")
    )
    expected = message.format(data=data, train=labelled, metrics=metrics)
    assert shown.err == f"error: {expected}\n" and rows
    assert not (photos.parent / "runs").exists()


def spoil_five(photos):
    """One image that is missing, two that lie elsewhere, one damaged and one too large."""
    image_of(photos, 7).write_bytes(image_of(photos, 7).read_bytes()[:-40])
    huge_png(image_of(photos, 10))
    outside_link(photos)
    change(photos, 4, image="images/none.jpg")
    change(photos, 5, image="../elsewhere.jpg")
    return [  # what the manifest says comes before what is in the files
        f"{ROW} 2: images/link.jpg lies outside the image folder photos",
        f"{ROW} 4: no such image: photos/images/none.jpg",
        f"{ROW} 5: ../elsewhere.jpg lies outside the image folder photos",
    ], {
        f"{ROW} 7: photos/images/c2_2.jpg: the image is damaged or cut short",
        f"{ROW} 10: photos/images/c4_1.jpg: 100000 x 100000 pixels are more than "
        "--max_pixels=100000000",
    }  # fmt: skip


@pytest.mark.parametrize("limit", range(5))
def test_more_bad_images_than_may_be_left_out(photos, limit, capsys):
    listed, found = spoil_five(photos)
    before = sorted(pathlib.Path().rglob("*"))
    argv = ["--mode=prepare", "--manifest=photos/cases.csv", "--data_dir=data"]
    argv += [f"--max_bad_images={limit}"]
    for dry in ([], ["--dry_run"]):
        assert cli.main([*argv, *dry]) == 2
        shown = capsys.readouterr().err
        more = f"; that makes more than --max_bad_images={limit}\n" if limit else "\n"
        assert shown.startswith("error: ") and shown.endswith(more) and shown.count("\n") == 1
        message = shown.removeprefix("error: ").removesuffix(more)
        assert message in ([listed[limit]] if limit < 3 else found)
        assert sorted(pathlib.Path().rglob("*")) == before


@pytest.mark.parametrize("limit", [5, 6])
def test_bad_images_are_left_out_and_said(photos, limit, capsys):
    listed, found = spoil_five(photos)
    argv = ["--manifest=photos/cases.csv", "--data_dir=data", f"--max_bad_images={limit}"]
    total = len(change(photos, 2))
    assert cli.main(["--mode=prepare", *argv]) == 0
    lines = capsys.readouterr().out.splitlines()
    (summary,) = (line for line in lines if line.startswith("derm_cases/manifest-"))
    assert f", {total - 5} images, " in summary
    start = lines.index("  note: left out: 5 bad images")
    messages = [line.removeprefix("  note:   ") for line in lines[start + 1 : start + 6]]
    assert messages[:3] == listed and set(messages[3:]) == found
    command = ["python", "run.py", "--mode=pretrain", "--dataset=derm_cases", argv[0], argv[2]]
    assert lines[-1] == f"next: {' '.join([*command, argv[1]])}"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--dataset=derm_cases/ham10000", "--manual_dir=none"],
            "--manual_dir=none: no such folder",
        ),
        (
            ["--dataset=derm_cases/ham10000"],
            "--dataset=derm_cases/ham10000: say where its files are with --manual_dir",
        ),
        (["--dataset=padchest", "--manual_dir=photos"], "--manual_dir=photos: no "),
        (
            ["--dataset=chexpert", "--manual_dir=photos"],
            "--manual_dir=photos: no train.csv in it; ",
        ),
        (["--dataset=nih_chest_xray14", "--manual_dir=photos"], "--manual_dir=photos: no "),
        (["--dataset=mimic_cxr_jpg", "--manual_dir=photos"], "--manual_dir=photos: no "),
        (
            ["--manifest=photos/cases.csv", "--group_by=study"],
            "--group_by=study: the data has no such key; it can be grouped by case, patient, image",
        ),
        (
            ["--manifest=photos/cases.csv", "--manual_dir=photos"],
            "--manual_dir=photos: derm_cases is not made from files there",
        ),
        (
            ["--manifest=photos/cases.csv", "--max_pixels=100"],
            f"{ROW} 2: photos/images/c0_0.jpg: 24 x 24 pixels are more than --max_pixels=100",
        ),
    ],
)
def test_datasets_that_cannot_be_prepared(photos, arguments, message, capsys):
    before = sorted(pathlib.Path().rglob("*"))
    for dry in ([], ["--dry_run"]):
        assert cli.main(["--mode=prepare", "--data_dir=data", *arguments, *dry]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith(f"error: {message}") and shown.count("\n") == 1
        assert shown == f"error: {message}\n" or message.endswith((" no ", "; "))
        assert sorted(pathlib.Path().rglob("*")) == before


def test_micle_on_single_images_says_that_it_is_simclr(photos, capsys):
    rows = change(photos, 2)
    first = {row["case_id"]: row for row in reversed(rows)}.values()
    with open(photos / "single.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(sorted(first, key=lambda row: row["case_id"]))
    argv = ["--manifest=photos/single.csv", "--data_dir=data", *TINY[:3]]
    argv += ["--train_batch_size=4", "--train_steps=1", "--model_dir=run"]
    assert cli.main(argv) == 0
    shown = capsys.readouterr().out
    assert "warning: every case has one image, so that micle here is simclr" in shown


@pytest.mark.usefixtures("whole_networks")
def test_weights_of_another_architecture_are_named_by_tensor(photos, capsys):
    """As when config.json was edited, or checkpoints were copied from another run."""
    argv = ["--manifest=photos/cases.csv", "--data_dir=data", *TINY[:3], "--model_dir=run"]
    assert cli.main([*argv, "--train_batch_size=4", "--train_steps=1"]) == 0
    config = photos.parent / "run/config.json"
    config.write_text(config.read_text().replace('"resnet_depth": 10', '"resnet_depth": 18'))
    capsys.readouterr()
    assert cli.main(["--mode=finetune", "--checkpoint=run", "--train_batch_size=4"]) == 2
    assert capsys.readouterr().err == (
        "error: --checkpoint=run: weights of another model: block_group1_unit1_conv1/kernel is not "
        "there, block_group1_unit1_norm1/gamma is not there, block_group1_unit1_norm1/beta is not "
        "there and 37 more tensors\n"
    )
    assert not (photos.parent / "run/finetune").exists()
    assert tf.io.gfile.exists("run/result.json")
