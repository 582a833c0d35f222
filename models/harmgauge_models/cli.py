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
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation.command import add_evaluate, evaluate
from harmgauge_models.options import Options, Second

_EXTRAS = {
    "build": {"matplotlib", "onnx", "sklearn", "tqdm"},
    "train": {"onnx2pytorch", "onnxscript", "torch"},
    "attack": {"art", "eagerpy", "foolbox"},
}
"""The modules that each extra of the package installs."""


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
    print(f"accuracy: {measured['test_accuracy']:.2%} on the test images, {measured['held_out_accuracy']:.2%} held out")
    print(f"made {out}/classifier.onnx, and train.npz, calibration.npz, test.npz and samples.npz beside it")
    print(
        f"next: harmgauge build --classifier {out}/classifier.onnx --train {out}/train.npz "
        f"--calibration {out}/calibration.npz --samples {out}/samples.npz --work {out} "
        f"--class-names {','.join(data.class_names)} --name cifar10-resnet32"
    )


def _build(arguments: argparse.Namespace) -> None:
    from harmgauge_models.building.build import build

    given = vars(arguments)
    given["command"] = given.pop("command_line")
    given["class_names"] = tuple(name.strip() for name in (given["class_names"] or "").split(",") if name.strip())
    given["hidden_layers"] = tuple(given["hidden_layers"])
    options = Options(**{field.name: given[field.name] for field in fields(Options) if field.name in given})
    folder = build(options)
    size_bytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"made the bundle {folder} ({size_bytes / 1e6:.1f} MB); look at {folder}/report/build.png")
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve")


def _calibrate(arguments: argparse.Namespace) -> None:
    from harmgauge.bundle.signature import SIGNATURE_FILE
    from harmgauge_models.calibration.bundle import Wanted, calibrate_bundle

    given = vars(arguments)
    given["command"] = given.pop("command_line")
    wanted = Wanted(**given)
    folder = calibrate_bundle(wanted)
    signed = (wanted.bundle / SIGNATURE_FILE).exists()
    unsigned = f"; it has no signature yet: harmgauge sign {folder} --key FILE" if signed else ""
    print(f"made the bundle {folder}; the rest of it is as it was{unsigned}")
    print(f"next: HARMGAUGE_BUNDLE={folder} harmgauge serve; `accuracy` in GET /drift is the estimate")


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of CIFAR-10's .bin files, or cifar-10-binary.tar.gz")
    add("--download", action="store_true", help="fetch the archive to --data where it is not there yet")
    add("--url", help="fetch it from this address instead of its author's")
    add("--md5", help="checksum of what --url gives")
    add("--out", type=Path, default=Path("runs/cifar10-resnet32"), help="folder for all that it makes; resumes there")
    add("--epochs", type=int, default=80)
    add("--seed", type=int, default=0)


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
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
        help=".npz with x and, better, y: at least 100 normal rows that trained nothing",
    )
    add("--name", required=True, help="name of the bundle")
    add(
        "--detector",
        default=default["detector"],
        help="what the classifier is compared with: distillation (a second network), adversarial-autoencoder (itself "
        "behind an autoencoder), or entropy (nothing: the score is the entropy of its answer)",
    )
    add("--train", type=Path, help=".npz with x: rows to train the second network on")
    add("--distilled", type=Path, help="second network of your own (ONNX) instead of distilling one")
    add(
        "--second",
        choices=get_args(Second),
        default=default["second"],
        help="head: reads what the classifier computes, trained on disturbed rows; student: a network apart; auto: "
        "a head, unless --student is given",
    )
    add("--student", help="module:function that makes a student of your own design")
    _add_autoencoder(add, default)
    add(
        "--keep",
        action="store_true",
        help="keep the second network even if the classifier's entropy alone ranks harm better",
    )
    add("--accuracy", type=float, help="of the classifier on the calibration rows, as 0.93, if they have no y")
    add("--samples", type=Path, help=".npz with clean and corrupted: instances that the demo sends")
    add("--class-names", help="in the order of the scores, with commas between; those in the file or in y if left out")
    add("--version", help="version of the bundle; the next free number if left out")
    add("--out", type=Path, default=default["out"], help="folder for bundles")
    add("--work", type=Path, help="folder for the training's checkpoint; a run that was cut off resumes there")
    add(
        "--loss",
        metavar="kld|xent",
        help="divergence that the score is; xent for a network trained here, else kld, if left out",
    )
    add(
        "--temperature",
        type=float,
        help="divides the classifier's log probabilities in the score; 0.1 for a head, else 1, if left out",
    )
    add(
        "--percentile",
        type=float,
        default=default["percentile"],
        help="of the calibration scores, above which inputs are flagged",
    )
    for role in ("classifier", "distilled"):
        add(f"--{role}-output", metavar="NAME", help=f"which output of the {role} network holds the class scores")
        add(f"--{role}-gives", choices=("logits", "probabilities"), help="found out if left out")
    add(
        "--features",
        metavar="NAME",
        help="tensor of the classifier for feature_mmd, or none; the last layer's input if left out",
    )
    add("--window-rows", type=int, default=default["window_rows"], help="scores that the drift monitor looks back on")
    add(
        "--rows-between-false-alarms",
        type=int,
        default=default["rows_between_false_alarms"],
        help="scores of normal traffic from one drift alarm to the next, on average and at least",
    )
    add("--int8", action="store_true", help="the graph in 8 bits as well, for CPUs: HARMGAUGE_PRECISION=int8")
    add("--epochs", type=int, help="of the second network's training, if not the recipe's own")
    add("--seed", type=int, default=default["seed"], help="of the second network's training")


def _calibrate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, help="folder of the bundle, which stays as it is")
    add(
        "--calibration",
        type=Path,
        required=True,
        help=".npz with x and, better, y: at least 200 normal rows that trained nothing, 5000 are good",
    )
    add("--accuracy", type=float, help="of the classifier on such rows, as 0.93, if they have no y")
    add("--out", type=Path, help="folder for bundles; the one that the bundle lies in if left out")
    add("--version", help="version of the new bundle; the next free number if left out")
    add("--seed", type=int, default=0, help="of the disturbances")


def _add_autoencoder(add: Callable[..., Any], default: dict[str, Any]) -> None:
    add("--autoencoder", help="module:function that makes the autoencoder, instead of one chosen by the input's shape")
    add(
        "--autoencoder-onnx",
        type=Path,
        help="autoencoder of your own (ONNX): raw rows to rows alike; nothing is trained",
    )
    add(
        "--hidden-layer",
        dest="hidden_layers",
        action="append",
        default=[],
        metavar="NAME:DIM[:WEIGHT]",
        help="tensor of the classifier's graph to match too, through a softmax head of DIM classes; may be repeated",
    )
    weight = default["reconstruction_weight"]
    add("--reconstruction-weight", type=float, default=weight, help="of the reconstruction's mean squared error")
    add("--noise", type=float, default=default["noise"], help="most noise on what it trains on, in the data's spreads")
    add("--shift-pixels", type=int, default=default["shift_pixels"], help="training images are moved by up to so many")
    add("--flip", action="store_true", help="training images are mirrored half the time")


def _command(
    add_arguments: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], None],
    *,
    resumes: Callable[[argparse.Namespace], bool] = lambda _: True,
    not_resumed: str = "nothing was written; with --work FOLDER it would continue from the last checkpoint",
) -> Command:
    """`resumes`: whether the command continues from where it was stopped when started again."""

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
    "calibrate": _command(_calibrate_options, _calibrate, resumes=lambda _: False, not_resumed="nothing was written"),
    "evaluate": _command(add_evaluate, evaluate),
}
