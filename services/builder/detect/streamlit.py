"""Streamlit: a script that its own server runs, over a WebSocket that belongs to one process."""

from services.builder.detect.code import Code
from services.builder.detect.plan import Candidate, Framework, Health
from services.builder.detect.servers import HOST

FRAMEWORK = Framework(
    kind="streamlit",
    title="Streamlit",
    distribution="streamlit",
    prefix_mode="keep",
    prefix_env={"STREAMLIT_SERVER_BASE_URL_PATH": "{app}", "FORWARDED_ALLOW_IPS": "*"},
    health=Health("/{app}/_stcore/health", status=200, contains="ok"),
    sticky=True,
    names=("streamlit_app.py", "app.py", "main.py", "Home.py", "home.py", "index.py"),
    warm=("streamlit", "streamlit.web.cli", "streamlit.web.bootstrap"),
)


def candidates(code: Code) -> list[Candidate]:
    """Files that import Streamlit; helpers that another one imports drop out later."""
    return [
        Candidate(FRAMEWORK, module.file, "streamlit run", _command(module.file))
        for module in code.modules.values()
        if module.imports_package("streamlit")
    ]


def _command(file: str) -> str:
    return (
        f"exec python -m streamlit run {file} --server.headless true"
        f" --server.address {HOST} --server.port $PORT --browser.gatherUsageStats false"
    )
