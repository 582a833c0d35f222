"""`harmgauge evaluate`: judges a bundle on corrupted pictures and puts the report into it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harmgauge.bundle import write
from harmgauge.bundle.load import DETECTOR_FILE, Bundle, load
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from harmgauge_models.data.corruptions import benchmark
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation import examples, figures, page, pictures
from harmgauge_models.evaluation.contamination import contamination_table
from harmgauge_models.evaluation.delays import Group, delays
from harmgauge_models.evaluation.measure import CLEAN, Measured, measure
from harmgauge_models.evaluation.pictures import Pictures
from harmgauge_models.evaluation.plan import DELAY_SEVERITY, FULL, QUICK, ROWS_BETWEEN_FALSE_ALARMS, Plan
from harmgauge_models.evaluation.severity import GROUPS, Pool, clean_table, pool, severity_table
from harmgauge_models.evaluation.work import Work, sha256_of

PAGE_FILE = "report/evaluation.html"
NUMBERS_FILE = "report/quality.json"
PLOT_FILES = {"scores": "report/scores.png", "contamination": "report/contamination.png"}
"""For a README."""


@dataclass(frozen=True)
class Options:
    """What `evaluate` was asked for; `data` is as `pictures.read` takes it, None as much as the plan says."""

    bundle: Path
    data: Path
    work: Path | None = None
    quick: bool = False
    attacks: tuple[str, ...] | None = None
    attack_rows: int | None = None
    seed: int = 0
    say: Callable[[str], None] = field(default=print, repr=False)


def evaluate(options: Options) -> dict[str, Any]:
    """Measure, draw, and rewrite the bundle with its report; returns what `quality.json` holds. Raises UserError."""
    plan = _plan(options)
    try:
        bundle = load(options.bundle)
        write.check_rewritable(bundle)
    except BundleError as error:
        raise UserError(str(error)) from error
    test = pictures.read(options.data, bundle.manifest)
    test = Pictures(test.x[: plan.most_pictures], test.y[: plan.most_pictures])
    work = Work(options.work or default_work(bundle))
    options.say(f"{len(test.x)} pictures; intermediate results are kept in {work.folder}")
    origin = {"pictures": sha256_of(test.x), "seed": options.seed}
    corrupted = benchmark.make(test.x, work.place("corrupted", origin), options.seed, kinds=plan.kinds)
    measured = measure(bundle, test, corrupted, plan.severities, work, seed=options.seed, features_of=DELAY_SEVERITY)
    pools = {severity: pool(measured, severity, test.y) for severity in plan.severities}
    resembled = tuple(bundle.manifest.made.get("second_network", {}).get("resembled_kinds", ()))
    quality = {
        "schema_version": 1,
        "bundle": {
            "name": bundle.manifest.name,
            "version": bundle.manifest.version,
            "detector": bundle.manifest.detector,
            "graph_sha256": bundle.manifest.files[DETECTOR_FILE].sha256,
        },
        "quick": options.quick,
        "seed": options.seed,
        "pictures": {"file": options.data.name, "rows": len(test.x), "sha256": origin["pictures"]},
        "threshold": float(bundle.threshold),
        "clean": clean_table(measured[CLEAN], test.y, bundle.threshold),
        "resembled_kinds": list(resembled),
        "severity": {
            str(severity): severity_table(pooled, bundle.threshold, resembled) for severity, pooled in pools.items()
        },
        "contamination": _contamination(bundle, measured[CLEAN], pools, plan, work, seed=options.seed),
        "delays": _delays(bundle, measured[CLEAN], pools[DELAY_SEVERITY], plan, work, seed=options.seed),
    }
    if plan.attacks:
        quality["attacks"] = _attacks(bundle, test, plan, work, options.seed)
    shown = examples.choose(
        test, corrupted, measured, pools[DELAY_SEVERITY], severity=DELAY_SEVERITY, seed=options.seed
    )
    _publish(bundle, quality, _files(bundle, quality, shown), options.say)
    return quality


def _plan(options: Options) -> Plan:
    plan = QUICK if options.quick else FULL
    if options.attacks is not None:
        plan = replace(plan, attacks=options.attacks)
    if options.attack_rows is not None:
        if options.attack_rows < 1:
            raise UserError(
                f"--attack-rows {options.attack_rows}: at least 1 is needed; --attacks none leaves them out"
            )
        plan = replace(plan, attacked_pictures=options.attack_rows)
    if plan.attacks and importlib.util.find_spec("foolbox") is None:
        raise UserError("attacks need Foolbox: pip install 'harmgauge[attack]', or leave them out with --attacks none")
    return plan


def default_work(bundle: Bundle) -> Path:
    return Path("runs") / f"evaluate-{bundle.manifest.name}-{bundle.manifest.version}"


def headlines(quality: dict[str, Any]) -> dict[str, Any]:
    """What the manifest says of it."""
    severity = {
        level: {
            "accuracy": found["accuracy"],
            "roc_auc": found["roc_auc"]["score"],
            **({"roc_auc_unseen": found["roc_auc_unseen"]["score"]} if "roc_auc_unseen" in found else {}),
        }
        for level, found in quality["severity"].items()
    }
    return {
        "report": NUMBERS_FILE,
        "quick": quality["quick"],
        "pictures": quality["pictures"]["rows"],
        "clean_accuracy": quality["clean"]["accuracy"],
        "clean_flagged": quality["clean"]["flagged"],
        "severity": severity,
    }


def _contamination(
    bundle: Bundle, clean: Measured, pools: dict[int, Pool], plan: Plan, work: Work, *, seed: int
) -> dict[str, Any]:
    strangers = {
        group: {severity: pooled.group(group).scores for severity, pooled in pools.items()} for group in GROUPS
    }
    return contamination_table(bundle.reference.scores, clean.scores["score"], strangers, plan.batches, work, seed=seed)


def _delays(bundle: Bundle, clean: Measured, pooled: Pool, plan: Plan, work: Work, *, seed: int) -> dict[str, Any]:
    changed = {group: pooled.group(group) for group in GROUPS}
    return {
        "severity": DELAY_SEVERITY,
        "rows_between_false_alarms": ROWS_BETWEEN_FALSE_ALARMS,
        "streams": plan.streams,
        "most_rows": plan.most_rows,
        "shares": list(plan.delay_shares),
        "detectors": delays(bundle, Group(clean.scores["score"], clean.features), changed, plan, work, seed=seed),
    }


def _attacks(bundle: Bundle, test: Pictures, plan: Plan, work: Work, seed: int) -> dict[str, Any]:
    from harmgauge_models.evaluation.attacked import attack_table  # noqa: PLC0415 - only this part needs PyTorch

    rows = slice(plan.attacked_pictures)
    return attack_table(bundle, Pictures(test.x[rows], test.y[rows]), plan.attacks, work, seed=seed)


def _files(bundle: Bundle, quality: dict[str, Any], shown: list[examples.Example]) -> dict[str, bytes]:
    files = {
        PAGE_FILE: page.page(quality, shown, bundle.manifest.class_names),
        NUMBERS_FILE: (json.dumps(quality, indent=1, allow_nan=False) + "\n").encode(),
    }
    for name, file in PLOT_FILES.items():
        with figures.style(name):
            files[file] = figures.png(figures.FIGURES[name](quality))
    return files


def _publish(bundle: Bundle, quality: dict[str, Any], files: dict[str, bytes], say: Callable[[str], None]) -> None:
    manifest = bundle.manifest.model_copy(
        update={"quality": {**bundle.manifest.quality, "evaluation": headlines(quality)}}
    )
    try:
        contents = {name: bundle.read(name) for name in bundle.manifest.files}
        write.rewrite_bundle(bundle, manifest, contents | files, verify)
    except (BundleError, OSError) as error:
        raise UserError(f"the report could not be put into the bundle: {error}") from error
    if bundle.signature != "none":
        say(f"the bundle is another one now and has no signature: harmgauge sign {bundle.path} --key FILE")
