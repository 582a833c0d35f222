"""The graph in ONNX Runtime."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from harmgauge.bundle.load import Bundle, load
from harmgauge.errors import BundleError, NonFiniteScore, SettingsError
from harmgauge.inference.outputs import complete
from harmgauge.inference.providers import usable_cores
from harmgauge.inference.runtime import OnnxRuntime, decides_by_values
from harmgauge.inference.scorer import Scorer
from tests.support.bundles import edit, replace_file
from tests.support.toy import instances, linear_network, toy_bundle


def test_threads_side_by_side_give_the_same_as_one(image_bundle: Bundle) -> None:
    runtime = OnnxRuntime(image_bundle, "cpu")
    rows = instances(64, (4, 4, 3))
    whole = runtime.run(rows)
    with ThreadPoolExecutor(4) as pool:
        single = list(pool.map(lambda index: runtime.run(rows[index : index + 1]), range(64)))
    np.testing.assert_allclose(np.concatenate([one.score for one in single]), whole.score, atol=1e-6)
    assert whole.score.dtype == np.float32
    assert whole.probabilities.shape == (64, 3)


@pytest.mark.parametrize("operator", ["Loop", "Scan", "If", "SequenceMap"])
def test_a_graph_whose_values_decide_what_runs_is_recognised(operator: str) -> None:
    node = onnx.helper.make_node(operator, ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", [], [])
    assert decides_by_values(onnx.helper.make_model(graph).SerializeToString())


def test_a_plain_graph_is_steady(image_bundle: Bundle) -> None:
    assert OnnxRuntime(image_bundle, "cpu").is_steady


def test_read_only_rows_are_taken(image_bundle: Bundle) -> None:
    """A body is never copied on its way to the graph."""
    rows = np.frombuffer(instances(2, (4, 4, 3)).tobytes(), np.uint8).reshape(2, 4, 4, 3)
    assert OnnxRuntime(image_bundle, "cpu").run(rows).score.shape == (2,)


@pytest.mark.skipif("CUDAExecutionProvider" in ort.get_available_providers(), reason="there is a CUDA provider")
def test_cuda_is_refused_where_there_is_none(image_bundle: Bundle) -> None:
    with pytest.raises(SettingsError, match="HARMGAUGE_PROVIDERS=cuda requires onnxruntime-gpu"):
        OnnxRuntime(image_bundle, "cuda")


def test_a_graph_of_other_names_is_refused(tmp_path: Path) -> None:
    folder = toy_bundle(tmp_path)
    other = linear_network(tmp_path / "other.onnx", (4, 4, 3), 3, 1)
    replace_file(folder, "detector.onnx", other.read_bytes())
    with pytest.raises(BundleError, match="expected only 'input', as bundle.json says"):
        OnnxRuntime(load(folder), "cpu")
    model = onnx.load(other)
    model.graph.input[0].name = model.graph.node[0].input[0] = "input"
    replace_file(folder, "detector.onnx", model.SerializeToString())
    with pytest.raises(BundleError, match="lacks features, probabilities, score"):
        OnnxRuntime(load(folder), "cpu")


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT16", "BOOL", "INT64", "FLOAT8E4M3FN", "STRING", "sequence"])
def test_a_graph_whose_score_is_not_float32_is_refused(tmp_path: Path, kind: str) -> None:
    folder = toy_bundle(tmp_path, shape=(5,), dtype="float32")
    model = onnx.load(folder / "detector.onnx")
    output = next(output for output in model.graph.output if output.name == "score")
    for node in model.graph.node:
        node.output[:] = ["as_before" if name == "score" else name for name in node.output]
    if kind == "sequence":
        model.graph.node.append(onnx.helper.make_node("SequenceConstruct", ["as_before"], ["score"]))
        tensor = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
        output.type.CopyFrom(onnx.helper.make_sequence_type_proto(tensor))
    else:
        to = getattr(onnx.TensorProto, kind)
        model.graph.node.append(onnx.helper.make_node("Cast", ["as_before"], ["score"], to=to))
        output.type.tensor_type.elem_type = to
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", 21))
    model.ir_version = 10
    replace_file(folder, "detector.onnx", model.SerializeToString())
    with pytest.raises(BundleError, match=r"the graph's output score is a .*; expected tensor\(float\)"):
        OnnxRuntime(load(folder), "cpu")


def test_an_input_of_another_type_is_refused(tmp_path: Path) -> None:
    folder = toy_bundle(tmp_path, shape=(5,), dtype="float32")
    edit(folder, lambda manifest: manifest["inputs"][0].update(dtype="float64"))
    with pytest.raises(BundleError, match=r"the graph's input 'input' is a tensor\(float\); expected tensor\(double\)"):
        OnnxRuntime(load(folder), "cpu")


def test_a_probe_that_gives_nan_is_refused(tmp_path: Path) -> None:
    """The probe's rows are the input's minimum, for which this graph gives NaN."""
    folder = toy_bundle(tmp_path, shape=(5,), dtype="float32")
    model = onnx.load(folder / "detector.onnx")
    model.graph.node[0].output[0] = "before"
    log = onnx.helper.make_node("Log", ["before"], [onnx.load(folder / "detector.onnx").graph.node[0].output[0]])
    model.graph.node.insert(1, log)
    replace_file(folder, "detector.onnx", model.SerializeToString())
    edit(folder, lambda manifest: manifest["inputs"][0].update(range=[-1.0, 1.0]))
    with pytest.raises(BundleError, match="the score of the trial row is nan"):
        OnnxRuntime(load(folder), "cpu")


def with_output(folder: Path, *nodes: onnx.NodeProto, constant: float = 0.0, of: int = onnx.TensorProto.FLOAT) -> None:
    """Replace `error_probability` of the bundle in `folder` by the output of `nodes`, which may read `constant` and
    `before`.
    """
    model = onnx.load(folder / "detector.onnx")
    for node in model.graph.node:
        node.output[:] = ["before" if name == "error_probability" else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(constant, np.float32), "constant"))
    model.graph.node.extend(nodes)
    output = next(output for output in model.graph.output if output.name == "error_probability")
    output.type.tensor_type.elem_type = of
    replace_file(folder, "detector.onnx", model.SerializeToString())


@pytest.fixture
def promising(error_probability_bundle_path: Path, tmp_path: Path) -> Path:
    """A copy of a bundle with an error probability, for tests to break."""
    return Path(shutil.copytree(error_probability_bundle_path, tmp_path / "copy"))


def test_the_graph_gives_the_error_probability_of_its_precision(error_probability_bundle_path: Path) -> None:
    rows = instances(50, (4, 4, 3), seed=4)
    bundles = [load(error_probability_bundle_path), load(error_probability_bundle_path, "int8")]
    whole, small = (OnnxRuntime(bundle, "cpu").run(rows).error_probability for bundle in bundles)
    assert whole is not None
    assert small is not None
    assert whole.shape == small.shape == (50,)
    assert whole.dtype == small.dtype == np.float32
    assert not np.array_equal(whole, small)
    np.testing.assert_allclose(whole, small, atol=0.02)


def test_a_graph_that_lacks_the_error_probability_is_refused(promising: Path, image_bundle_path: Path) -> None:
    replace_file(promising, "detector.onnx", (image_bundle_path / "detector.onnx").read_bytes())
    with pytest.raises(BundleError, match="lacks error_probability, which bundle.json declares: build the bundle"):
        OnnxRuntime(load(promising), "cpu")


def test_an_error_probability_that_is_not_promised_is_left_alone(promising: Path) -> None:
    edit(promising, lambda manifest: manifest.update(error_probability="no labels"))
    assert OnnxRuntime(load(promising), "cpu").run(instances(3, (4, 4, 3))).error_probability is None


@pytest.mark.parametrize(("constant", "shown"), [(-0.1, "-0.1"), (1.5, "1.5"), (np.nan, "nan"), (np.inf, "inf")])
def test_an_error_probability_that_is_none_is_refused(promising: Path, constant: float, shown: str) -> None:
    nodes = [
        onnx.helper.make_node("Shape", ["before"], ["rows"]),
        onnx.helper.make_node("Expand", ["constant", "rows"], ["error_probability"]),
    ]
    with_output(promising, *nodes, constant=constant)
    with pytest.raises(BundleError, match=f"trial row is {shown}[0-9]*; expected a number in 0 .. 1"):
        OnnxRuntime(load(promising), "cpu")


def test_an_error_probability_of_another_shape_is_refused(promising: Path) -> None:
    axis = onnx.helper.make_node("Constant", [], ["axis"], value_ints=[1])
    with_output(promising, axis, onnx.helper.make_node("Unsqueeze", ["before", "axis"], ["error_probability"]))
    with pytest.raises(BundleError, match=r"1 rows gave error_probability \(1, 1\); expected \(1,\)"):
        OnnxRuntime(load(promising), "cpu")


def test_an_error_probability_of_another_type_is_refused(promising: Path) -> None:
    double = onnx.TensorProto.DOUBLE
    with_output(promising, onnx.helper.make_node("Cast", ["before"], ["error_probability"], to=double), of=double)
    with pytest.raises(BundleError, match=r"output error_probability is a tensor\(double\); expected tensor\(float\)"):
        OnnxRuntime(load(promising), "cpu")


def test_cores_are_those_of_the_quota(tmp_path: Path) -> None:
    def cores(**files: str) -> int:
        for name, text in files.items():
            file = tmp_path / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cpu_cfs", "cpu.cfs")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return usable_cores(tmp_path)

    everything = usable_cores(Path("/nowhere"))
    assert everything >= 1
    assert cores(cpu_max="max 100000\n") == everything
    assert cores(cpu_max="50000 100000\n") == 1
    assert cores(cpu_max="100000000 100000\n") == everything
    assert cores(cpu_max="nonsense") == everything
    assert cores(cpu_max="", cpu__cpu_cfs_quota_us="-1\n", cpu__cpu_cfs_period_us="100000\n") == everything
    assert cores(cpu__cpu_cfs_quota_us="20000\n") == 1


def test_a_row_with_an_error_probability_that_is_none_gets_no_score(promising: Path) -> None:
    """Twice P is not a probability for some rows: those fail, or detectors that bet on P would be wrong for good."""
    rows = instances(2000, (4, 4, 3), seed=4)
    plain = OnnxRuntime(load(promising), "cpu").run(rows).error_probability
    assert plain is not None
    with_output(promising, onnx.helper.make_node("Mul", ["before", "constant"], ["error_probability"]), constant=2.0)
    found = OnnxRuntime(load(promising), "cpu").run(rows)
    complete(found)
    assert 0 < (2 * plain > 1).sum() < 2000
    np.testing.assert_array_equal(np.isnan(found.score), 2 * plain > 1)


def test_neither_has_it_one_in_process(promising: Path) -> None:
    rows = instances(2000, (4, 4, 3), seed=4)
    plain = Scorer(load(promising), "cpu").score(rows).error_probability
    assert plain is not None
    with_output(promising, onnx.helper.make_node("Mul", ["before", "constant"], ["error_probability"]), constant=2.0)
    bad = int(np.flatnonzero(2 * plain > 1)[0])
    scorer = Scorer(load(promising), "cpu")
    assert scorer.score(rows[:bad]).error_probability is not None
    with pytest.raises(NonFiniteScore, match=f"instance {bad} is not finite, or one of its probabilities"):
        scorer.score(rows)
