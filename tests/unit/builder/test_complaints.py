"""uv's complaints, in one sentence."""

import pytest

from services.builder.complaints import lacks_only_wheels, sentence

NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            NO_SOLUTION + "Because nosuch-x was not found in the package registry and you require "
            "nosuch-x, we can conclude that your requirements are unsatisfiable.",
            "r.txt asks for 'nosuch-x', which the package index does not have",
        ),
        (
            NO_SOLUTION + "Because there is no version of flask==99.9 and you require flask==99.9, "
            "we can conclude that your requirements are unsatisfiable.",
            "r.txt asks for flask==99.9, a version that does not exist",
        ),
        (
            NO_SOLUTION + "Because a==1 depends on b>=3 and you require a==1, we can conclude that "
            "you require b>=3.\n         And because you require b==1, we can conclude that your "
            "requirements are unsatisfiable.",
            "The requirements in r.txt contradict each other: Because a==1 depends on b>=3",
        ),
        ("error: Failed to build `docopt==0.6.2`", "docopt (asked for by r.txt)"),
        (
            "error: Failed to build `x==1`\n  cause: `build_wheel` failed (signal: 9 (SIGKILL))",
            "x (asked for by r.txt) was killed",
        ),
        ("error: Failed to fetch: `x`\n cause: dns error", "index could not be reached"),
        ("error: something new", "could not be installed: something new."),
        ("", "the lines above say why."),
    ],
)
def test_sentence(text: str, said: str) -> None:
    assert said in sentence("r.txt", text)
    assert sentence("r.txt", text).endswith(".")


def test_lack_of_wheels() -> None:
    assert lacks_only_wheels("Because docopt==0.6.2 has no usable wheels and you require ...")
    assert not lacks_only_wheels("Because there is no version of flask==99.9")
