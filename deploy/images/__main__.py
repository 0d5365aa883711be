"""`python -m deploy.images [--again] [NAME ...]`, what `make images` calls.

A name is an image's or that of a group: "servers", "platform", "all".
"""

import sys
from functools import partial

from pydantic import ValidationError

from deploy.images.catalogue import IMAGES, Image
from deploy.images.engine import Engine
from deploy.images.making import Maker
from deploy.images.settings import ImageSettings
from shared.errors import MoorageError
from shared.process import wrong_settings

AGAIN = "--again"


def main(words: list[str]) -> int:
    names = [word for word in words if word != AGAIN] or ["all"]
    known = {name for image in IMAGES for name in _names(image)}
    if unknown := {*names} - known:
        print(f"There is no image {', '.join(sorted(unknown))}, but there is:", file=sys.stderr)
        print(", ".join(sorted(known)), file=sys.stderr)
        return 2
    try:
        _make([image for image in IMAGES if _names(image) & {*names}], again=AGAIN in words)
    except ValidationError as error:
        print(f"{wrong_settings(error)}.", file=sys.stderr)
    except MoorageError as error:
        print(error.detail, file=sys.stderr)
    except OSError as error:
        print(f"Images cannot be made: {error.strerror or error}.", file=sys.stderr)
    else:
        return 0
    return 1


def _names(image: Image) -> set[str]:
    return {image.name, "all", *([image.group] if image.group else [])}


def _make(images: list[Image], again: bool) -> None:
    settings = ImageSettings()
    maker = Maker(Engine(settings.docker_url), settings, again, partial(print, flush=True))
    for image in images:
        maker.make(image)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
