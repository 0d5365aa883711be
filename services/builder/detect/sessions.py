"""Apps that keep what one visitor does in the memory of one process.

Their visitors have to stay with the instance that they began with; it is no matter whether they are
started by what we know of them, by a Procfile, or inside another app.
"""

from dataclasses import replace

from services.builder.detect.code import Code
from services.builder.detect.plan import Plan

PACKAGES = ("gradio", "panel", "shiny", "streamlit")
SERVERS = ("bokeh", "panel", "shiny", "streamlit")
"""Programs; what imports Bokeh may only draw with it, what is started by it has sessions."""


def with_sessions(plan: Plan, code: Code, words: list[str]) -> Plan:
    """The plan, sticky if the code or the words of its command have sessions."""
    imported = any(
        module.imports_package(package) for module in code.modules.values() for package in PACKAGES
    )
    if plan.framework.sticky or not (imported or set(words) & set(SERVERS)):
        return plan
    return replace(plan, framework=replace(plan.framework, sticky=True))
