"""show.yaml and characters/*.yaml as strict records."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from laikaroto.config.values import Strict, as_duration, as_name, check_template


class PlateConfig(Strict):
    """Where plates lie and how to read them."""

    template: str
    layer: str = ""
    part: str | None = None
    channels: tuple[str, str, str] = ("R", "G", "B")
    nonfinite: Literal["replace", "refuse"] = "replace"

    @field_validator("template")
    @classmethod
    def _template(cls, value: str) -> str:
        return check_template(value, {"root", "shot", "frame"}, {"shot", "frame"})


class ShowConfig(Strict):
    """show.yaml: names and places. ``root`` may be relative to the configuration folder."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    root: str = ".."
    fps: Annotated[float, Field(gt=0)] = 24.0
    plates: PlateConfig
    green_card: PlateConfig | None = None
    sidecars: str = "{root}/roto/{shot}/{character}/{version}"
    truth: str = "{root}/training_set/{character}/{shot}.roto.json"
    models: str = "{root}/models/{character}"
    reviews: str = "{root}/review/{shot}/{character}/{version}"
    work: str = "{root}/work"

    _check = field_validator("name")(as_name)

    @field_validator("sidecars", "reviews")
    @classmethod
    def _versioned(cls, value: str) -> str:
        wanted = {"shot", "character", "version"}
        if not value.endswith("{version}"):
            raise ValueError("must end with the {version} folder")
        return check_template(value, wanted | {"root"}, wanted)

    @field_validator("truth")
    @classmethod
    def _truth(cls, value: str) -> str:
        return check_template(value, {"root", "shot", "character"}, {"shot", "character"})

    @field_validator("models")
    @classmethod
    def _models(cls, value: str) -> str:
        return check_template(value, {"root", "character"}, {"character"})

    @field_validator("work")
    @classmethod
    def _work(cls, value: str) -> str:
        return check_template(value, {"root"}, set())


class MatteConfig(Strict):
    """Which matte layers are made of which closed shapes (their union)."""

    layers: dict[str, tuple[str, ...]] | None = None
    combined: str | None = None
    channels: Literal["RGBA", "A"] = "RGBA"

    @field_validator("layers")
    @classmethod
    def _layers(cls, value: dict[str, tuple[str, ...]] | None) -> dict[str, tuple[str, ...]] | None:
        for layer in value or {}:
            as_name(layer)
        return value


class RendersConfig(Strict):
    """Rendered heads as further training pictures: where they lie, and how often they are shown."""

    folders: tuple[str, ...] = ()
    share: Annotated[float, Field(gt=0, le=0.9)] = 0.25

    @field_validator("folders")
    @classmethod
    def _folders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_template(folder, {"root"}, set()) for folder in value)


class TrainingConfig(Strict):
    """How a character is learned.

    Names of augmentations and losses are checked where they are known: ``training.choices``.
    """

    budget: str = "8h"
    nodes: Annotated[int, Field(ge=1, le=8)] = 1
    validation_shots: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 1
    crop_px: Annotated[int, Field(ge=128, le=1024, multiple_of=128)] = 512
    mirror: Literal["auto", "never"] = "auto"
    patience: Annotated[int, Field(ge=2)] | None = 5
    augmentations: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    losses: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    renders: RendersConfig = RendersConfig()

    _check = field_validator("budget")(as_duration)


class ReviewConfig(Strict):
    """When a frame is flagged for a person to look at; px at full plate size."""

    max_expected_error_px: Annotated[float, Field(gt=0)] | None = None
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None


class CharacterConfig(Strict):
    """characters/<name>.yaml: one puppet."""

    name: str
    training_shots: tuple[str, ...] = ()
    names: dict[str, str | None] = {}
    training: TrainingConfig = TrainingConfig()
    mattes: MatteConfig = MatteConfig()
    review: ReviewConfig = ReviewConfig()

    _check = field_validator("name")(as_name)

    @field_validator("names")
    @classmethod
    def _names(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for name in value.values():
            if name is not None:
                as_name(name)
        return value

    @field_validator("training_shots")
    @classmethod
    def _shots(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(as_name(shot) for shot in value)
