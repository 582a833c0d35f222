"""`harmgauge evaluate`: judges a bundle on changed rows and adds the report to it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harmgauge.bundle import write
from harmgauge.bundle.load import DETECTOR_FILE, Bundle, load
from harmgauge.bundle.manifest import Manifest
from harmgauge.errors import BundleError
from harmgauge.inference.runtime import verify
from harmgauge_models.errors import UserError
from harmgauge_models.evaluation import cases, compared, examples, figures, page, pictures, window_tests
from harmgauge_models.evaluation.accuracy.judge import Material, accuracy_table
from harmgauge_models.evaluation.cases import Cases
from harmgauge_models.evaluation.cause_trials import Trials
from harmgauge_models.evaluation.causes import causes_table
from harmgauge_models.evaluation.contamination import contamination_table
from harmgauge_models.evaluation.delays import Group, delays
from harmgauge_models.evaluation.measure import CLEAN, Graph, Measured, measure, severities
from harmgauge_models.evaluation.options import Options
from harmgauge_models.evaluation.periods import period_tables
from harmgauge_models.evaluation.pictures import Pictures
from harmgauge_models.evaluation.plan import DELAY_SEVERITY, FULL, QUICK, ROWS_BETWEEN_FALSE_ALARMS, Plan
from harmgauge_models.evaluation.severity import GROUPS, Pool, clean_table, level_name, pool, severity_table
from harmgauge_models.evaluation.work import Work

__all__ = ["NUMBERS_FILE", "PAGE_FILE", "PLOT_FILES", "Options", "default_work", "evaluate", "headlines"]

PAGE_FILE = "report/evaluation.html"
NUMBERS_FILE = "report/quality.json"
PLOT_FILES = {"scores": "report/scores.png", "contamination": "report/contamination.png"}
"""The plots for a README, if the evaluation has them."""


def evaluate(options: Options) -> dict[str, Any]:
    """Measure, draw, and rewrite the bundle with its report; returns `quality.json`'s contents. Raises UserError."""
    try:
        bundle = load(options.bundle)
        write.check_rewritable(bundle)
    except BundleError as error:
        raise UserError(str(error)) from error
    plan = _plan(options, bundle)
    work = Work(options.work or default_work(bundle))
    of_pictures = pictures.are_served(bundle.manifest)
    found = cases.of_pictures(options, bundle, plan, work) if of_pictures else cases.of_rows(options, bundle, plan)
    options.say(f"{len(found.y)} {found.unit}; intermediate results are kept in {work.folder}")
    graph = Graph(bundle, found.neighbours)
    severity = _delay_severity(severities(found.copies))
    measured = measure(bundle, graph, found.copies, found.origin, work, features_of=severity)
    pools = {level: pool(measured, level, found.y) for level in severities(measured)}
    if severity not in pools:
        severity = None
    quality = _described(bundle, options, found)
    quality["left_out"] = [f"{kind}-{level_name(level)}" for kind, level in found.copies.keys() - measured.keys()]
    wrong_right = compared.wrong_right([measured[CLEAN]], found.y)
    quality["clean"] = clean_table(measured[CLEAN], found.y, bundle.threshold) | {"wrong_right": wrong_right}
    quality["severity"] = {
        level_name(level): severity_table(pooled, bundle.threshold, tuple(quality["resembled_kinds"]))
        | compared.level(measured, level, found.y)
        for level, pooled in pools.items()
    }
    shown: list[examples.Example] = []
    if severity is not None:
        quality["pooled"] = compared.pooled(measured, found.y)
        quality["contamination"] = _contamination(bundle, measured[CLEAN], pools, plan, work, seed=options.seed)
        quality["delays"] = _delays(bundle, measured[CLEAN], pools[severity], plan, work, seed=options.seed)
        quality["delays"]["severity"] = severity or level_name(severity)
        trials = Trials(bundle, plan, work, options.seed)
        quality["causes"] = causes_table(trials, found.copies[CLEAN].make(), measured, severity)
        shown = examples.choose(found, measured, pools[severity], severity=severity, seed=options.seed)
    timed = None
    if found.timed is not None:
        copies = {("timed", 0): found.timed.copied}
        timed = measure(bundle, graph, copies, found.origin, work, features_of=None)["timed", 0]
        quality["periods"] = period_tables(
            timed, found.timed.periods, found.timed.y, bundle.threshold, bundle.reference.scores
        )
    quality["accuracy_estimate"] = accuracy_table(
        Material(bundle, graph, found, measured, timed), plan, work, seed=options.seed
    )
    quality["below_entropy"] = compared.below_entropy(quality)
    if plan.attacks and found.pictures is not None:
        quality["attacks"] = _attacks(bundle, graph, found.pictures, plan, work, seed=options.seed)
    _publish(bundle, quality, _files(bundle, quality, shown), options.say)
    return quality


def _described(bundle: Bundle, options: Options, found: Cases) -> dict[str, Any]:
    """The entries that describe the judged bundle and the data."""
    return {
        "schema_version": 1,
        "bundle": {
            "name": bundle.manifest.name,
            "version": bundle.manifest.version,
            "detector": bundle.manifest.detector,
            "graph_sha256": bundle.manifest.files[DETECTOR_FILE].sha256,
        },
        "quick": options.quick,
        "seed": options.seed,
        found.unit: {"file": options.data.name, "rows": len(found.y), "sha256": found.sha256},
        "layout": found.layout,
        "distance_on": None if found.neighbours is None else found.neighbours.on,
        "threshold": float(bundle.threshold),
        "resembled_kinds": list(bundle.manifest.made.get("second_network", {}).get("resembled_kinds", ())),
    }


def _plan(options: Options, bundle: Bundle) -> Plan:
    plan = QUICK if options.quick else FULL
    if options.attacks is not None:
        plan = replace(plan, attacks=options.attacks)
    if options.attack_rows is not None:
        if options.attack_rows < 1:
            raise UserError(
                f"--attack-rows {options.attack_rows}: expected at least 1; --attacks none skips the attacks"
            )
        plan = replace(plan, attacked_pictures=options.attack_rows)
    if not pictures.are_served(bundle.manifest):
        if options.attacks or options.attack_rows is not None:
            raise UserError(
                f"attacks are for 8-bit colour pictures; the bundle {bundle.manifest.name} accepts "
                f"{_accepted(bundle.manifest)}: leave --attacks and --attack-rows out"
            )
        return replace(plan, attacks=())
    if _normalises(bundle.manifest):
        if options.attacks or options.attack_rows is not None:
            raise UserError(
                "attacks change pixels, but this bundle takes normalised numbers: build it from a folder of images or "
                "from 8-bit rows, or leave --attacks and --attack-rows out"
            )
        return replace(plan, attacks=())
    if plan.attacks and not all(map(importlib.util.find_spec, ("foolbox", "art"))):
        raise UserError(
            "attacks require Foolbox and the Adversarial Robustness Toolbox: pip install 'harmgauge[attack]', or skip "
            "them with --attacks none"
        )
    return plan


def _normalises(manifest: Manifest) -> bool:
    """Whether pixels are normalised before the graph."""
    return manifest.input.image is not None and manifest.input.image.normalises


def _accepted(manifest: Manifest) -> str:
    if manifest.is_named:
        return f"the inputs {', '.join(taken.name for taken in manifest.inputs[:5])}"
    return f"{manifest.input.dtype} {manifest.input.shape}"


def _delay_severity(severities: tuple[int, ...]) -> int | None:
    """DELAY_SEVERITY, or the middle one of the available severities."""
    if DELAY_SEVERITY in severities:
        return DELAY_SEVERITY
    return severities[len(severities) // 2] if severities else None


def default_work(bundle: Bundle) -> Path:
    return Path("runs") / f"evaluate-{bundle.manifest.name}-{bundle.manifest.version}"


def headlines(quality: dict[str, Any]) -> dict[str, Any]:
    """The entry for the manifest."""
    severity = {
        level: {
            "accuracy": found["accuracy"],
            "roc_auc": found["roc_auc"]["score"],
            **({"roc_auc_unseen": found["roc_auc_unseen"]["score"]} if "roc_auc_unseen" in found else {}),
        }
        for level, found in quality["severity"].items()
    }
    unit = "pictures" if "pictures" in quality else "rows"
    found = {
        "report": NUMBERS_FILE,
        "quick": quality["quick"],
        unit: quality[unit]["rows"],
        "clean_accuracy": quality["clean"]["accuracy"],
        "clean_flagged": quality["clean"]["flagged"],
        "severity": severity,
        "below_entropy": len(quality["below_entropy"]),
    }
    if "errors" in quality["accuracy_estimate"]:
        found["accuracy_estimate"] = {
            group: {"sets": errors["sets"], **errors["error_probability"]}
            for group, errors in quality["accuracy_estimate"]["errors"].items()
        }
    if "periods" in quality:
        found["periods"] = {name: table["accuracy"] for name, table in quality["periods"]["by_period"].items()}
    return found


def _contamination(
    bundle: Bundle, clean: Measured, pools: dict[int, Pool], plan: Plan, work: Work, *, seed: int
) -> dict[str, Any]:
    strangers = {
        group: {level_name(severity): pooled.group(group).scores for severity, pooled in pools.items()}
        for group in GROUPS
    }
    return contamination_table(bundle.reference.scores, clean.scores["score"], strangers, plan.batches, work, seed=seed)


def _delays(bundle: Bundle, clean: Measured, pooled: Pool, plan: Plan, work: Work, *, seed: int) -> dict[str, Any]:
    changed = {group: pooled.group(group) for group in GROUPS}
    normal = Group(clean.scores["score"], clean.features, clean.error_probability)
    return {
        "rows_between_false_alarms": ROWS_BETWEEN_FALSE_ALARMS,
        "streams": plan.streams,
        "most_rows": plan.most_rows,
        "shares": list(plan.delay_shares),
        "detectors": delays(bundle, normal, changed, plan, work, seed=seed, rate=ROWS_BETWEEN_FALSE_ALARMS),
        **(
            {}
            if bundle.reference.features is None
            else {"beside": _beside(bundle, normal, changed, plan, work, seed=seed)}
        ),
    }


def _beside(
    bundle: Bundle, clean: Group, changed: dict[str, Group], plan: Plan, work: Work, *, seed: int
) -> dict[str, Any]:
    """Other detectors beside the bundle's own, all at a false alarm rate that the former can be calibrated to."""
    rate = window_tests.ROWS_BETWEEN_FALSE_ALARMS
    return {
        "rows_between_false_alarms": rate,
        "window_rows": window_tests.WINDOW_ROWS,
        "clean_windows": plan.clean_windows,
        "changed_windows": plan.changed_windows,
        "own": delays(bundle, clean, changed, plan, work, seed=seed, rate=rate),
        "others": window_tests.window_tests(bundle, clean, changed, plan, work, seed=seed),
    }


def _attacks(bundle: Bundle, graph: Graph, test: Pictures, plan: Plan, work: Work, *, seed: int) -> dict[str, Any]:
    from harmgauge_models.evaluation.attacked import attack_table  # noqa: PLC0415 - only this part needs PyTorch

    rows = slice(plan.attacked_pictures)
    attacked = Pictures(test.x[rows], test.y[rows])
    return attack_table(bundle, graph, attacked, plan.attacks, work, seed=seed)


def _files(bundle: Bundle, quality: dict[str, Any], shown: list[examples.Example]) -> dict[str, bytes]:
    files = {
        PAGE_FILE: page.page(quality, shown, bundle.manifest.class_names),
        NUMBERS_FILE: (json.dumps(quality, indent=1, allow_nan=False) + "\n").encode(),
    }
    for name, file in PLOT_FILES.items():
        if name not in figures.drawn(quality):
            continue
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
        raise UserError(f"cannot write the report to the bundle: {error}") from error
    if bundle.signature != "none":
        say(f"the bundle has changed, and its signature was removed: harmgauge sign {bundle.path} --key FILE")
