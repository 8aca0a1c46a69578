"""axe-core in the tests' own browser: its script is injected by the debugger, whatever the page's policy.

`tools/axe.sh` fetches the script, pinned by its hash; where that has not run it is the older one of the package
axe-core-python (4.4.3); `HAKIKA_AXE_JS` names another. Best practices are asked for beside WCAG, so that landmarks and
headings count.
"""

import json
import os
import sys
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from page_browser import Tab

FETCHED = Path(sys.prefix) / "axe" / "node_modules" / "axe-core" / "axe.min.js"
RUN = "axe.run(document, {resultTypes: ['violations', 'incomplete']}).then(found => JSON.stringify(found))"


def findings(tab: Tab) -> list[str]:
    """Every violation on the page that is open, as rule and place; raises when axe did not run."""
    tab.evaluate(_script())
    answer = tab.call("Runtime.evaluate", expression=RUN, awaitPromise=True, returnByValue=True)
    found: dict[str, Any] = json.loads(answer["result"]["value"])
    if not found["testEngine"]["version"] or len(found.get("passes", [])) < PASSES_MIN:
        raise RuntimeError(f"axe looked at nothing: {answer}")
    nodes = [(rule["id"], node) for rule in found["violations"] for node in rule["nodes"]]
    return [f"{id_}: {node['target']} {node['failureSummary']}" for id_, node in nodes]


PASSES_MIN = 10


@cache
def _script() -> str:
    named = os.environ.get("HAKIKA_AXE_JS")
    if named or FETCHED.exists():
        return Path(named or FETCHED).read_text(encoding="utf-8")
    return files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8")
