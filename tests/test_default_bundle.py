"""The default bundle's name is in one place of the code; the files that must repeat it agree."""

from __future__ import annotations

import re
import tomllib

from harmgauge.settings import DEFAULT_BUNDLE, shipped_bundle
from tests.conftest import ROOT


def test_the_makefile_and_the_wheel_name_the_same_bundle() -> None:
    assert shipped_bundle() == ROOT / "models" / "bundles" / DEFAULT_BUNDLE
    (line,) = re.findall(r"^BUNDLE \?= .*$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"models/bundles/{DEFAULT_BUNDLE})" in line
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    included = {f"models/bundles/{DEFAULT_BUNDLE}": f"harmgauge/bundles/{DEFAULT_BUNDLE}"}
    assert hatch["wheel"]["force-include"] == included
    assert f"models/bundles/{DEFAULT_BUNDLE}" in hatch["sdist"]["only-include"]
