"""``laikaroto init`` and ``laikaroto doctor``."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from laikaroto.bundled import bundled
from laikaroto.show import Show

PLATES = str(bundled("sample") / "plates") + "/{shot}/{shot}.{frame:04d}.exr"
TRUTH = sorted((bundled("sample") / "truth" / "hero").glob("tr0*.roto.json"))


def states(ran: Any) -> dict[str, str]:
    return {check["what"]: check["state"] for check in json.loads(ran.out)["checks"]}


def test_init_makes_a_show_that_can_be_opened(laikaroto, tmp_path: Path) -> None:
    folder = tmp_path / "my show"
    ran = laikaroto("init", folder, "--plates", PLATES, "--character", "imp")
    assert (ran.code, ran.err) == (0, "")
    assert "4 shots with 40 plates found" in ran.out
    show = Show.open(folder / "configs")
    assert show.configs.show.name == "my_show"
    assert show.root == folder
    assert list(show.configs.characters) == ["imp"] and list(show.configs.queues) == ["local"]
    assert show.configs.show.green_card is None
    assert show.configs.characters["imp"].mattes.layers is None
    assert "# every" not in (folder / "configs/show.yaml").read_text().splitlines()[0]
    assert (folder / "configs/show.yaml").read_text().count("#") > 10, "settings are explained"


def test_init_as_json(laikaroto, tmp_path: Path) -> None:
    ran = laikaroto("init", tmp_path / "ev", "--plates", PLATES, "--json")
    assert json.loads(ran.out)["shots"] == {"ta01": 16, "tr01": 8, "tr02": 8, "tr03": 8}


def test_init_without_plates_says_where_it_looked(laikaroto, tmp_path: Path) -> None:
    ran = laikaroto("init", tmp_path / "ev")
    assert ran.code == 0
    assert "no plates found yet" in ran.out and "{root}/plates/{shot}" in ran.out


def test_init_takes_a_relative_template_from_here(
    laikaroto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundled("sample"))
    ran = laikaroto(
        "init", tmp_path / "ev", "--plates", "plates/{shot}/{shot}.{frame:04d}.exr", "--json"
    )
    assert len(json.loads(ran.out)["shots"]) == 4


def test_init_finds_shots_in_one_flat_folder(laikaroto, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("a10.1001.exr", "a10.1002.exr", "b20.1001.exr", "b20 copy.1001.exr", "x.txt"):
        (flat / name).touch()
    ran = laikaroto(
        "init", tmp_path / "ev", "--plates", f"{flat}/{{shot}}.{{frame:04d}}.exr", "--json"
    )
    found = json.loads(ran.out)
    assert found["shots"] == {"a10": 2, "b20": 1}
    assert "'b20 copy' is not a usable name" in found["unusable"][0]


def test_init_leaves_a_folder_that_is_not_empty_alone(laikaroto, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    ran = laikaroto("init", tmp_path)
    assert ran.code == 2 and "is not empty" in ran.err
    assert [p.name for p in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        ("/p/{shot}/{fame}.exr", "unknown field ['fame']"),
        ("/p/{shot}/x.exr", "lacks ['frame']"),
        ("/p/{frame}.exr", "lacks ['shot']"),
        ("/p/{shot}/{frame", "malformed"),
    ],
)
def test_init_refuses_a_bad_template_and_writes_nothing(
    laikaroto, tmp_path: Path, template: str, wanted: str
) -> None:
    ran = laikaroto("init", tmp_path / "ev", "--plates", template)
    assert ran.code == 2 and wanted in ran.err
    assert not (tmp_path / "ev").exists()


def test_init_refuses_a_bad_character_and_writes_nothing(laikaroto, tmp_path: Path) -> None:
    ran = laikaroto("init", tmp_path / "ev", "--character", "../imp")
    assert ran.code == 2 and "not a usable name" in ran.err
    assert not (tmp_path / "ev").exists()


def test_doctor_on_a_fresh_sample_show(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    found = states(ran)
    assert ran.code == 0
    assert found["packages"] == found["configuration"] == found["plates"] == "ok"
    assert found["hero: truth"] == found["hero: model"] == "to do"
    assert found["queue local"] == found["disk"] == "ok"
    assert sorted(p.name for p in (sample_configs.parent / "sample").iterdir()) == [
        "green_card", "plates", "reference", "truth"
    ], "doctor writes nothing"  # fmt: skip


def test_doctor_looks_for_the_secrets_of_notices(
    laikaroto, sample_configs: Path, tmp_path: Path
) -> None:
    queue = sample_configs / "queues" / "local.yaml"
    hook = f"notify: {{webhook: {{url: 'http://x/', token: 'file:{tmp_path / 'token'}'}}}}\n"
    text = queue.read_text()
    assert text.count("notify: null") == 1
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("notify"))
    queue.write_text(text.replace(line, hook))
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 1 and states(ran)["queue local, notify"] == "problem"
    (tmp_path / "token").write_text("hush-hush-hush")
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 0 and "hush" not in ran.out


def test_doctor_prints_a_table(laikaroto, sample_configs: Path) -> None:
    ran = laikaroto("doctor", "--configs", sample_configs)
    assert ran.code == 0 and "0 problems" in ran.out
    assert "what to do" in ran.out and "hero: truth" in ran.out


def test_doctor_names_every_fault_of_the_configuration(laikaroto, sample_configs: Path) -> None:
    (sample_configs / "show.yaml").write_text("name: 'a b'\nsurprise: 1\n")
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 1
    faults = [c["found"] for c in json.loads(ran.out)["checks"] if c["what"] == "configuration"]
    assert len(faults) == 3 and all("show.yaml: " in fault for fault in faults)


def test_doctor_finds_missing_plates_and_bad_truth(laikaroto, sample_configs: Path) -> None:
    laikaroto("truth", "import", "hero", *TRUTH, "--configs", sample_configs)
    assert states(laikaroto("doctor", "--configs", sample_configs, "--json"))["hero: truth"] == "ok"
    plates = sample_configs.parent / "sample/plates"
    plates.unlink()
    shutil.copytree(bundled("sample") / "plates/tr01", plates / "tr01")
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 1 and states(ran)["hero: truth"] == "problem"
    shutil.rmtree(plates)
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 1 and states(ran)["plates"] == "problem"


def test_doctor_finds_a_show_without_root(laikaroto, sample_configs: Path) -> None:
    text = (sample_configs / "show.yaml").read_text()
    (sample_configs / "show.yaml").write_text(text.replace("../sample", "../gone"))
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert ran.code == 1 and states(ran)["disk"] == "problem"
    assert not (sample_configs.parent / "gone").exists()


def test_doctor_finds_a_damaged_model(laikaroto, sample_configs: Path) -> None:
    version = sample_configs.parent / "sample/models/hero/v001"
    version.mkdir(parents=True)
    (version / "MANIFEST.json").write_text("{}")
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    checks = json.loads(ran.out)["checks"]
    (bad,) = (c for c in checks if c["what"] == "hero: model" and c["state"] == "problem")
    assert "damaged" in bad["found"] and os.fspath(version) in bad["do"]


def test_doctor_checks_what_training_is_told(laikaroto, sample_configs: Path) -> None:
    path = sample_configs / "characters" / "hero.yaml"
    text = path.read_text()
    path.write_text(text.replace("augmentations: {}", "augmentations: {snow: 1}"))
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert states(ran)["hero: training"] == "problem" and "augmentations.snow" in ran.out
    path.write_text(text.replace("augmentations: {}", "augmentations: {grain: 1}"))
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert "hero: training" not in states(ran)
    laikaroto("truth", "import", "hero", *TRUTH, "--configs", sample_configs)
    path.write_text(text.replace("folders: []", "folders: ['{root}/cg']"))
    ran = laikaroto("doctor", "--configs", sample_configs, "--json")
    assert states(ran)["hero: renders"] == "problem" and "there is no such folder" in ran.out
