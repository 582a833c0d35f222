"""`harmgauge train`, `build`, `calibrate` and `evaluate`. Their help loads nothing heavy."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

from harmgauge.cli.command import Command
from harmgauge_models.building.image_options import add_images
from harmgauge_models.calibration.options import add_calibrate
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.command import add_evaluate, evaluate
from harmgauge_models.options import Options, Second

_EXTRAS = {
    "build": {"matplotlib", "onnx", "sklearn", "tqdm"},
    "train": {"onnx2pytorch", "onnxscript", "torch"},
    "attack": {"art", "eagerpy", "foolbox"},
}
"""The Python modules that each extra of the package installs."""


def _train(arguments: argparse.Namespace) -> None:
    from harmgauge_models.data import cifar10  # `build --distilled` must work without PyTorch
    from harmgauge_models.data.download import CIFAR10_MD5, CIFAR10_URL, download
    from harmgauge_models.training.resnet32 import Recipe, train

    if arguments.download:
        download(arguments.url or CIFAR10_URL, arguments.md5 or CIFAR10_MD5, arguments.data)
    recipe = Recipe(epochs=arguments.epochs, seed=arguments.seed)
    data = cifar10.load(arguments.data)
    measured = train(data, arguments.out, recipe, arguments.command_line)
    out = arguments.out
    print(
        f"accuracy: {measured['test_accuracy']:.2%} on test images, {measured['held_out_accuracy']:.2%} on held-out "
        "training images"
    )
    print(f"wrote {out}/classifier.onnx, and train.npz, calibration.npz, test.npz and samples.npz beside it")
    print(
        f"next: harmgauge build --classifier {out}/classifier.onnx --train {out}/train.npz "
        f"--calibration {out}/calibration.npz --samples {out}/samples.npz --work {out} "
        f"--class-names {','.join(data.class_names)} --name cifar10-resnet32"
    )


def _build(arguments: argparse.Namespace) -> None:
    from harmgauge_models.building.build import build

    given = vars(arguments) | {"command": arguments.command_line}
    given["class_names"] = tuple(name.strip() for name in (given["class_names"] or "").split(",") if name.strip())
    given["hidden_layers"] = tuple(given["hidden_layers"])
    options = Options(**{field.name: given[field.name] for field in fields(Options) if field.name in given})
    folder = build(options)
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"wrote the bundle {folder} ({size_bytes / 1e6:.1f} MB); its report is {folder}/report/build.png")
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve")


def _calibrate(arguments: argparse.Namespace) -> None:
    from harmgauge.bundle.signature import SIGNATURE_FILE
    from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle

    given = vars(arguments)
    given["command"] = given.pop("command_line")
    wanted = Wanted(**given)
    folder = calibrate_bundle(wanted)
    signed = (wanted.bundle / SIGNATURE_FILE).exists()
    unsigned = f"; it is not signed yet: harmgauge sign {folder} --key FILE" if signed else ""
    print(f"wrote the bundle {folder}; the rest of it is unchanged{unsigned}")
    shown = "/drift returns the estimate as `accuracy`"
    if wanted.only == "columns":
        shown = "/drift/columns lists the columns that have changed"
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve; GET {shown}")


def _train_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of CIFAR-10's .bin files, or cifar-10-binary.tar.gz")
    add("--download", action="store_true", help="fetch the archive to --data if it is not there yet")
    add("--url", help="fetch the archive from this address instead of its author's")
    add("--md5", help="MD5 checksum of the archive at --url")
    out = Path("runs/cifar10-resnet32")
    add(
        "--out",
        type=Path,
        default=out,
        help="folder for all output; an interrupted run resumes there (default: %(default)s)",
    )
    add("--epochs", type=int, default=80, help="training epochs (default: %(default)s)")
    add("--seed", type=int, default=0, help="random seed for training (default: %(default)s)")


def _build_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    default = {field.name: field.default for field in fields(Options)}
    add(
        "--classifier",
        type=Path,
        required=True,
        help="ONNX file: rows (n, ...) to logits or probabilities (n, classes)",
    )
    add(
        "--calibration",
        type=Path,
        required=True,
        help=".npz with x, or an array for each input, and preferably y; or a table (.parquet, .csv) with the inputs "
        "as columns; or a folder of images, with a subfolder for each class: at least 100 normal rows on which no "
        "network was trained",
    )
    add("--name", required=True, help="name of the bundle")
    add(
        "--detector",
        default=default["detector"],
        help="what the classifier is compared with: distillation (a second network), adversarial-autoencoder (itself "
        "behind an autoencoder), or entropy (no second network: the score is the entropy of its output); "
        "default: %(default)s",
    )
    add("--train", type=Path, help="rows to train the second network on, like --calibration")
    add("--distilled", type=Path, help="second network of your own (ONNX) instead of distilling one")
    add(
        "--second",
        choices=get_args(Second),
        default=default["second"],
        help="head: reads what the classifier computes and is trained on disturbed rows; student: a separate network; "
        "auto: a head, unless --student is given (default: %(default)s)",
    )
    add("--student", help="module:function that makes a student of your own")
    _add_autoencoder(add, default)
    add(
        "--keep",
        action="store_true",
        help="keep the second network even if the classifier's entropy alone ranks harm better",
    )
    add(
        "--accuracy",
        type=float,
        help="the classifier's accuracy on the calibration rows, such as 0.93, if they have no y",
    )
    add("--label", metavar="COLUMN", help="column or array of the data that holds the labels; by default y")
    add(
        "--tokenizer",
        type=Path,
        help="tokenizer.json of a classifier of token ids: the data and requests are then texts",
    )
    add_images(add)
    add("--samples", type=Path, help=".npz with clean and corrupted: instances for the demo to send")
    add(
        "--class-names",
        help="comma-separated, in the order of the scores; by default those in the ONNX file or in y",
    )
    add("--version", help="version of the bundle; by default the next free number")
    add("--out", type=Path, default=default["out"], help="folder for bundles (default: %(default)s)")
    add("--work", type=Path, help="folder for the training's checkpoint; an interrupted run resumes there")
    add(
        "--loss",
        metavar="kld|xent",
        help="divergence used as the score; by default xent for a network trained here, else kld",
    )
    add(
        "--temperature",
        type=float,
        help="divides the classifier's log probabilities in the score; by default 0.1 for a head, else 1",
    )
    add(
        "--percentile",
        type=float,
        default=default["percentile"],
        help="percentile of the calibration scores above which inputs are flagged (default: %(default)s)",
    )
    for role in ("classifier", "distilled"):
        add(f"--{role}-output", metavar="NAME", help=f"output of the {role} network that holds the class scores")
        add(
            f"--{role}-gives",
            choices=("logits", "probabilities"),
            help=f"what the {role} network outputs; by default detected on the calibration data",
        )
    add(
        "--features",
        metavar="NAME",
        help="tensor of the classifier for feature_mmd, or none; by default the last layer's input",
    )
    add(
        "--window-rows",
        type=int,
        default=default["window_rows"],
        help="number of scores in the window of score_ks (default: %(default)s)",
    )
    add(
        "--rows-between-false-alarms",
        type=int,
        default=default["rows_between_false_alarms"],
        help="scores of normal traffic between false drift alarms, at least, on average (default: %(default)s)",
    )
    add("--int8", action="store_true", help="also write an 8-bit graph for CPUs (HARMGAUGE_PRECISION=int8)")
    add("--epochs", type=int, help="epochs of the second network's training; by default those of its recipe")
    add(
        "--seed",
        type=int,
        default=default["seed"],
        help="random seed for training the second network (default: %(default)s)",
    )


def _add_autoencoder(add: Callable[..., Any], default: dict[str, Any]) -> None:
    add(
        "--autoencoder",
        help="module:function that makes the autoencoder; by default one is chosen by the input's shape",
    )
    add(
        "--autoencoder-onnx",
        type=Path,
        help="autoencoder of your own (ONNX) from raw rows to rows of the same form; nothing is trained",
    )
    add(
        "--hidden-layer",
        dest="hidden_layers",
        action="append",
        default=[],
        metavar="NAME:DIM[:WEIGHT]",
        help="tensor of the classifier's graph to match as well, by a softmax head of DIM classes; may be repeated",
    )
    weight = default["reconstruction_weight"]
    add(
        "--reconstruction-weight",
        type=float,
        default=weight,
        help="weight of the reconstruction's mean squared error in the loss (default: %(default)s)",
    )
    add(
        "--noise",
        type=float,
        default=default["noise"],
        help="most noise on training rows, in standard deviations of the data (default: %(default)s)",
    )
    add(
        "--shift-pixels",
        type=int,
        default=default["shift_pixels"],
        help="training images are shifted by up to this many pixels (default: %(default)s)",
    )
    add("--flip", action="store_true", help="mirror training images half the time")


def _command(
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], None],
    *,
    resumes: Callable[[argparse.Namespace], bool] = lambda _: True,
    not_resumed: str = "nothing was written; with --work FOLDER, the next run would continue from the last checkpoint",
) -> Command:
    """Define a command; `resumes` returns whether a repeated run continues from where it was stopped."""

    def run_and_explain(parsed: argparse.Namespace, words: list[str]) -> int:
        parsed.command_line = shlex.join(["harmgauge", *words])
        try:
            run(parsed)
        except UserError as error:
            print(f"harmgauge: {error}", file=sys.stderr)
            return 2
        except ModuleNotFoundError as error:
            extra = next((extra for extra, modules in _EXTRAS.items() if error.name in modules), None)
            if extra is None:
                raise
            print(f"harmgauge: {words[0]} needs {error.name}: pip install 'harmgauge[{extra}]'", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            again = (
                "run the same command again to continue from the last checkpoint" if resumes(parsed) else not_resumed
            )
            print(f"\nstopped; {again}", file=sys.stderr)
            return 130
        return 0

    return Command(add_arguments, run_and_explain)


COMMANDS = {
    "train": _command(_train_options, _train),
    "build": _command(_build_options, _build, resumes=lambda parsed: parsed.work is not None),
    "calibrate": _command(add_calibrate, _calibrate, resumes=lambda _: False, not_resumed="nothing was written"),
    "evaluate": _command(add_evaluate, evaluate),
}
