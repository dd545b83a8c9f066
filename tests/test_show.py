"""A show: where every file lies; no name leads out of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from laikaroto.errors import ConfigError, UsageError
from laikaroto.show import Show, check_version

BAD = ["../x", "a b", "it's", '"', "$(touch x)", "a/b", "..", ""]


@pytest.fixture
def show(sample_configs: Path) -> Show:
    return Show.open(sample_configs)


def test_paths(show: Show, tmp_path: Path) -> None:
    root = tmp_path / "sample"
    assert show.root == root
    assert show.plate_template("ta01") == f"{root}/plates/ta01/ta01.{{frame:04d}}.exr"
    assert show.plate_template("tr02", green_card=True).startswith(f"{root}/green_card/tr02/")
    assert show.truth_file("hero", "tr01") == root / "training_set/hero/tr01.roto.json"
    assert show.template_file("hero") == root / "models/hero/template.json"
    assert show.sidecar_folder("ta01", "hero", "v001") == root / "roto/ta01/hero/v001"
    assert show.review_folder("ta01", "hero", "v001") == root / "review/ta01/hero/v001"
    assert show.work_folder("job-1", "x") == root / "work/job-1/x"
    assert show.queue_state("local") == root / "farm/local"


def test_published_shots_are_found_by_the_template(sample_configs: Path) -> None:
    for shot in ("ta01", "tr01"):
        (sample_configs.parent / "sample" / "roto" / shot / "hero").mkdir(parents=True)
    (sample_configs.parent / "sample" / "roto" / "tr02" / "villain").mkdir(parents=True)
    assert Show.open(sample_configs).published_shots("hero") == ("ta01", "tr01")
    text = (sample_configs / "show.yaml").read_text()
    (sample_configs / "show.yaml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("sidecars:"))
        + '\nsidecars: "{root}/out/{shot}/{shot}_{character}/{version}"\n'
    )
    show = Show.open(sample_configs)
    assert show.published_shots("hero") == ()
    (show.root / "out" / "x1" / "x1_hero").mkdir(parents=True)
    (show.root / "out" / "x1" / "y1_hero").mkdir(parents=True)  # of another shot: no such version
    assert show.published_shots("hero") == ("x1",)


def test_folders_of_renders(sample_configs: Path) -> None:
    assert Show.open(sample_configs).renders_folders("hero") == ()
    path = sample_configs / "characters" / "hero.yaml"
    path.write_text(path.read_text().replace("folders: []", 'folders: ["{root}/cg", /x/cg]'))
    show = Show.open(sample_configs)
    assert show.renders_folders("hero") == (show.root / "cg", Path("/x/cg"))
    path.write_text(path.read_text().replace("{root}/cg", "{shot}/cg"))
    with pytest.raises(ConfigError, match="training.renders.folders.*unknown field"):
        Show.open(sample_configs)


def test_a_root_with_braces_and_spaces_is_taken_as_it_is(sample_configs: Path) -> None:
    odd = sample_configs.parent / "a {shot} b"
    sample_configs.parent.joinpath("sample").rename(odd)
    text = (sample_configs / "show.yaml").read_text()
    (sample_configs / "show.yaml").write_text(text.replace("../sample", '"../a {shot} b"'))
    template = Show.open(sample_configs).plate_template("ta01")
    assert Path(template.format(frame=1001)).is_file()


@pytest.mark.parametrize("name", BAD)
def test_bad_names_become_no_path(show: Show, name: str) -> None:
    for path in (
        lambda: show.plate_template(name),
        lambda: show.truth_file("hero", name),
        lambda: show.truth_file(name, "tr01"),
        lambda: show.models_folder(name),
        lambda: show.sidecar_folder(name, "hero", "v001"),
        lambda: show.sidecar_folder("ta01", "hero", name),
        lambda: show.review_folder("ta01", name, "v001"),
        lambda: show.work_folder(name),
        lambda: show.character(name),
        lambda: show.queue(name),
    ):
        with pytest.raises(UsageError, match="is not a usable name"):
            path()


def test_unknown_things_name_the_known_ones(show: Show) -> None:
    with pytest.raises(
        UsageError, match=r"unknown character 'villain'; known: hero\..*villain\.yaml"
    ):
        show.character("villain")
    known = "unknown queue 'farm'; known: deadline, local, opencue, slurm"
    with pytest.raises(UsageError, match=known):
        show.queue("farm")


def test_green_card_plates_must_be_configured(sample_configs: Path) -> None:
    text = (sample_configs / "show.yaml").read_text()
    (sample_configs / "show.yaml").write_text(text.replace("green_card:", "green_card: null #", 1)
        .replace('  template: "{root}/green_card/{shot}/{shot}.{frame:04d}.exr"', ""))  # fmt: skip
    with pytest.raises(UsageError, match="names no green_card plates"):
        Show.open(sample_configs).plate_template("tr02", green_card=True)


@pytest.mark.parametrize(
    "template",
    ["{root}/ts/{character}/{shot}.roto.json", "{root}/ts/{shot}/{character}/roto.json"],
)
def test_truth_shots_are_those_imported(sample_configs: Path, template: str) -> None:
    text = (sample_configs / "show.yaml").read_text()
    old = "{root}/training_set/{character}/{shot}.roto.json"
    (sample_configs / "show.yaml").write_text(text.replace(old, template))
    show = Show.open(sample_configs)
    assert show.truth_shots("hero") == ()
    for shot in ("tr02", "tr01"):
        path = show.truth_file("hero", shot)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    assert show.truth_shots("hero") == ("tr01", "tr02")


@pytest.mark.parametrize(
    "template",
    [
        "{root}/roto/{shot}/{character}/{version}",
        "{root}/[film] SHOTS/{character}/{shot}_roto/{version}",
        "{root}/{shot}/roto/{shot}.{character}/{version}",
    ],
)
def test_corrected_shots_are_those_with_a_corrections_file(
    sample_configs: Path, template: str
) -> None:
    path = sample_configs / "show.yaml"
    kept = [line for line in path.read_text().splitlines() if not line.startswith("sidecars:")]
    path.write_text("\n".join([*kept, f'sidecars: "{template}"', ""]))
    show = Show.open(sample_configs)
    assert show.corrected_shots("hero") == ()
    for shot in ("ta01", "a.b-c"):
        file = show.corrections_file(shot, "hero")
        file.parent.mkdir(parents=True)
        file.touch()
    show.corrections_file("ta01", "other").parent.mkdir(parents=True)
    assert show.corrected_shots("hero") == ("a.b-c", "ta01")


def test_truth_shots_may_be_chosen(sample_configs: Path) -> None:
    path = sample_configs / "characters/hero.yaml"
    path.write_text(path.read_text().replace("training_shots: []", "training_shots: [tr03, tr01]"))
    assert Show.open(sample_configs).truth_shots("hero") == ("tr01", "tr03")


def test_versions() -> None:
    assert check_version("v001") == "v001" and check_version("v1234") == "v1234"
    for bad in ("1", "v1", "V001", "v001 ", "current", "../v001", ""):
        with pytest.raises(UsageError, match="not of the form v001"):
            check_version(bad)


def test_a_folder_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"show\.yaml: not found"):
        Show.open(tmp_path)
