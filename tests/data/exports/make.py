"""Makes the exported files in this folder again, with the common exporters; the tests only read the files.

Run `python tests/data/exports/make.py` in an environment with catboost, lightgbm, onnxmltools and xgboost. The models
are trained on iris (150 rows, 4 columns), which scikit-learn includes.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from sklearn.datasets import load_iris

FOLDER = Path(__file__).parent
SPECIES = ("setosa", "versicolor", "virginica")


def main() -> None:
    import catboost
    import lightgbm
    import xgboost
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    x, y = load_iris(return_X_y=True)
    x = x.astype("float32")
    rows = [("input", FloatTensorType([None, 4]))]
    cat = catboost.CatBoostClassifier(iterations=2, depth=2, verbose=0, allow_writing_files=False)
    cat.fit(x, [SPECIES[label] for label in y])
    cat.save_model(str(FOLDER / "catboost.onnx"), format="onnx")
    slim(FOLDER / "catboost.onnx")
    boosted = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(x, y)
    onnx.save(convert_xgboost(boosted, initial_types=rows), FOLDER / "xgboost.onnx")
    two = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(x, y == 2)
    onnx.save(convert_xgboost(two, initial_types=rows), FOLDER / "xgboost-binary.onnx")
    light = lightgbm.LGBMClassifier(n_estimators=2, num_leaves=3, verbose=-1).fit(x, y)
    onnx.save(convert_lightgbm(light, initial_types=rows), FOLDER / "lightgbm.onnx")


def slim(path: Path) -> None:
    """Remove the training notes, which record the time and the machine."""
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)


if __name__ == "__main__":
    main()
