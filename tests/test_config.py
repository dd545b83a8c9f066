"""Configuration: all faults at once, each with file and path; nothing unknown, nothing guessed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from laikaroto.bundled import bundled
from laikaroto.config import (
    ENGINE_BLOCKS,
    CharacterConfig,
    DeadlineSettings,
    OpenCueSettings,
    QueueConfig,
    ShowConfig,
    SlurmSettings,
    check_name,
    parse_duration,
    read_configs,
)
from laikaroto.errors import ConfigError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled("configs"), tmp_path / "configs"))


def faults(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_configs(folder)
    return str(caught.value).splitlines()


def test_the_sample_configs_are_read() -> None:
    configs = read_configs(bundled("configs"))
    assert configs.show.name == "sample"
    assert list(configs.characters) == ["hero"]
    assert configs.queues["local"].frames_per_task == 10


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("show", ShowConfig),
        ("characters/hero", CharacterConfig),
        ("queues/local", QueueConfig),
        ("queues/slurm", QueueConfig),
        ("queues/opencue", QueueConfig),
        ("queues/deadline", QueueConfig),
    ],
)
def test_the_sample_configs_explain_every_setting(name: str, kind: type) -> None:
    def settings(model: type, data: dict[str, object]) -> set[str]:
        fields = model.model_fields  # type: ignore[attr-defined]
        missing = {key for key in fields if key not in data}
        for key, field in fields.items():
            if hasattr(field.annotation, "model_fields") and isinstance(data.get(key), dict):
                missing |= {f"{key}.{m}" for m in settings(field.annotation, data[key])}  # type: ignore[arg-type]
        return missing

    data = yaml.safe_load((bundled("configs") / f"{name}.yaml").read_text())
    missing = settings(kind, data)
    if kind is QueueConfig:
        assert data["engine"] == name.partition("/")[2]
        missing -= set(ENGINE_BLOCKS)  # blocks of other engines do not belong there
        if block := ENGINE_SETTINGS.get(data["engine"]):
            missing -= {"slots", "memory_gib", "keep_jobs"}
            assert settings(block, data[data["engine"]]) == set()
    assert missing == set()


ENGINE_SETTINGS: dict[str, type] = {
    "slurm": SlurmSettings, "opencue": OpenCueSettings, "deadline": DeadlineSettings,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("engine: slurm\nslots: 2", "slots: not a setting of the engine 'slurm'"),
        ("slurm: {}", "slurm: not a setting of the engine 'local'"),
        ("engine: slurm\nslurm: {partition: '-x; rm'}", "slurm.partition: "),
        ("engine: slurm\nslurm: {options: ['--wrap=a b']}", "slurm.options.0: "),
        ("engine: slurm\nslurm: {options: ['-p x']}", "slurm.options.0: "),
        ("engine: slurm\nslurm: {environment: ['A=b']}", "slurm.environment.0: "),
        ("engine: slurm\nslurm: {time_limit: soon}", "slurm.time_limit: "),
        ("engine: opencue\nopencue: {cuebot: ['a b']}", "opencue.cuebot.0: "),
        ("engine: opencue\nopencue: {show: 'a/b'}", "opencue.show: "),
        ("engine: opencue\nopencue: {tags: ['$(x)']}", "opencue.tags.0: "),
        ("engine: opencue\nopencue: {retry_delay: soon}", "opencue.retry_delay: "),
        ("engine: opencue\nslurm: {}", "slurm: not a setting of the engine 'opencue'"),
        ("engine: deadline", "deadline: wanted a block with farm_id and queue_id"),
        ("engine: deadline\ndeadline: {farm_id: f, queue_id: q}", "deadline.farm_id: "),
        ("engine: slurm\nslurm: {surprise: 1}", "slurm.surprise: unknown setting"),
    ],
)
def test_settings_of_engines_are_checked(folder: Path, text: str, wanted: str) -> None:
    (folder / "queues/local.yaml").write_text(f"name: local\n{text}\n")
    assert wanted in "\n".join(faults(folder))


def test_a_minimal_show_needs_a_name_and_plates(tmp_path: Path) -> None:
    (tmp_path / "show.yaml").write_text(
        "name: ev\nplates:\n  template: '/p/{shot}/{shot}.{frame:04d}.exr'\n"
    )
    configs = read_configs(tmp_path)
    assert (configs.characters, configs.queues) == ({}, {})
    assert configs.show.fps == 24


def test_a_folder_without_show_yaml(tmp_path: Path) -> None:
    (line,) = faults(tmp_path)
    assert "show.yaml: not found" in line
    assert "--configs" in line and "laikaroto init" in line


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("- a\n- b\n", "wanted a mapping of settings, got list"),
        ("just text\n", "wanted a mapping of settings, got str"),
        ("", "wanted a mapping of settings, got NoneType"),
        ("a: [1\n", "is not YAML"),
        ("a: \x00\n", "is not YAML"),
        ("!!python/object/apply:os.system ['true']\n", "is not YAML"),
        ("slots: 2\nname: local\nslots: 4\n", "'slots' stands here a second time; keep one"),
    ],
)
def test_a_file_that_is_no_mapping(folder: Path, text: str, wanted: str) -> None:
    (folder / "queues/local.yaml").write_text(text)
    (line,) = faults(folder)
    assert line.startswith(str(folder / "queues/local.yaml")) and wanted in line


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "show.yaml").write_bytes(b"name: \xff\xfe\n")
    assert "is not YAML" in faults(folder)[0]


def test_faults_of_all_files_are_told_at_once(folder: Path) -> None:
    show = yaml.safe_load((folder / "show.yaml").read_text())
    show |= {"surprise": 1, "fps": "fast", "sidecars": "{root}/roto"}
    show["plates"] |= {"template": "{root}/{shto}.exr", "channels": ["R", "G"]}
    (folder / "show.yaml").write_text(yaml.safe_dump(show))
    (folder / "characters/hero.yaml").write_text(
        "name: hero\ntraining: {budget: soon, crop_px: 100}\ntraining_shots: ['../x']\n"
    )
    (folder / "queues/local.yaml").write_text("name: other\npriority: 200\nslots: 0\n")
    (folder / "queues/more.yaml").write_text("name: more\nengine: quantum\n")
    text = "\n".join(faults(folder))
    for wanted in (
        "show.yaml: surprise: unknown setting",
        "show.yaml: fps: ",
        "show.yaml: sidecars: must end with the {version} folder",
        "show.yaml: plates.template: unknown field ['shto']",
        "show.yaml: plates.channels",
        "hero.yaml: training.budget: duration 'soon' cannot be read",
        "hero.yaml: training.crop_px: ",
        "hero.yaml: training_shots: ",
        "local.yaml: priority: ",
        "local.yaml: slots: ",
        "more.yaml: engine: ",
    ):
        assert wanted in text, wanted


def test_a_file_is_named_as_what_it_describes(folder: Path) -> None:
    (folder / "characters/hero.yaml").rename(folder / "characters/villain.yaml")
    (line,) = faults(folder)
    assert "name: wanted the file's own name 'villain', got 'hero'" in line


@pytest.mark.parametrize("name", ["ev010", "a", "A_b-c.d", "0", "x" * 64])
def test_names_that_are_fine(name: str) -> None:
    assert check_name(name, "shot") == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a'b", 'a"b', "$(reboot)", "`x`", "a;b", "-x",
     ".hidden", "a..b", "ä", "a\n", "x" * 65, "a\x00b", "*"],
)  # fmt: skip
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is not a usable name"):
        check_name(name, "shot")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("30m", 1800), ("90s", 90), ("1h30m", 5400), ("0.5h", 1800)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "0s", "1w", "8 h", "1h1d", "30m1h", "nan"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="wanted something like 8h"):
        parse_duration(text)
