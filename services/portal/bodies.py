"""What may be sent to the portal's API."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]
Description = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
Tags = Annotated[list[Tag], Field(max_length=20)]


class NewApp(BaseModel):
    """An app to create; its name becomes its path."""

    model_config = ConfigDict(extra="forbid")
    name: str
    title: Title = ""
    description: Description = ""
    tags: Tags = []


class AppChanges(BaseModel):
    """What to change of an app's description; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")
    title: Title | None = None
    description: Description | None = None
    tags: Tags | None = None
