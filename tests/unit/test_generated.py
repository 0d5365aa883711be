"""What is generated from the code is what lies in the checkout."""

import pytest

from deploy.generate import documents


@pytest.mark.parametrize("path", sorted(documents(), key=str), ids=lambda path: path.name)
def test_generated_files_are_up_to_date(path):
    assert path.read_text() == documents()[path], "run 'make generate' and commit the result"
