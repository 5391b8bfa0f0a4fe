"""Settings: layers, their order, their origins, and what is refused."""

import re
from pathlib import Path

import pytest

from conf.layers import BUILT_IN, OTHER_VARIABLES, Layer, config_file, origin_of
from conf.settings import Settings, load_settings, path_variables, setting_layers
from tasks.contracts.errors import ConfigError


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REELSIFT_HOME", "REELSIFT_MIRROR", "REELSIFT_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def toml(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_anything_the_shipped_file_is_in_force() -> None:
    settings = load_settings()
    assert settings.download.mirrors == ("us",)
    assert settings.filter.background == "all"
    assert settings.paths.root.is_absolute()


@pytest.mark.parametrize("name", ["smoke", "full"])
def test_shipped_files_are_named_without_their_suffix(name: str) -> None:
    assert load_settings(Path(name)).filter.background in {3, 20}


def test_a_later_layer_wins_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toml(tmp_path, "[download]\nconnections = 3\nattempts = 7\n")
    monkeypatch.setenv("REELSIFT_DOWNLOAD__CONNECTIONS", "4")
    layers = setting_layers(path, Layer("command line", {"home": "elsewhere"}))
    settings = load_settings(path, Layer("command line", {"home": "elsewhere"}))
    assert (settings.download.connections, settings.download.attempts) == (4, 7)
    assert settings.home == Path("elsewhere")
    origins = {
        name: origin_of(name.split("."), layers) for name in ("download.connections", "download.attempts", "home")
    }
    assert origins == {
        "download.connections": "REELSIFT_DOWNLOAD__CONNECTIONS",
        "download.attempts": str(path),
        "home": "command line",
    }
    assert origin_of(["download", "redirects"], layers) == BUILT_IN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[download]\nconections = 3", "no setting download.conections .*did you mean connections", id="typo"
        ),
        pytest.param("[dowload]\nx = 3", "no setting dowload .*did you mean download", id="section"),
        pytest.param("colour = 3", "no setting colour .*there are home, mirror, download", id="unknown"),
        pytest.param(
            "[download]\nconnections = 500",
            "download.connections .* is 500: input should be less than or equal to 64",
            id="above",
        ),
        pytest.param("[gate]\nconfidence = 0.2", "gate.confidence .* is 0.2: .*greater than 0.5", id="below"),
        pytest.param("[train]\nmodels = []", "train.models .* at least 1 item", id="empty"),
        pytest.param(
            "[filter]\nbackground = 'some'", "filter.background.* is 'some': input should be 'all'", id="choice"
        ),
    ],
)
def test_a_refusal_names_setting_value_file_and_bound(tmp_path: Path, text: str, message: str) -> None:
    path = toml(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert "reelsift config show" in str(caught.value)


def test_a_refused_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_DOWNLOAD__CONNECTIONS", "many")
    with pytest.raises(ConfigError, match=r"from REELSIFT_DOWNLOAD__CONNECTIONS\) is 'many'"):
        load_settings()


def test_a_variable_of_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_DOWNLOD__CONNECTIONS", "4")
    with pytest.raises(ConfigError, match="REELSIFT_DOWNLOD__CONNECTIONS names no setting"):
        load_settings()


def test_a_list_that_is_not_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_DOWNLOAD", "{oops")
    with pytest.raises(ConfigError, match="Lists are JSON"):
        load_settings()


@pytest.mark.parametrize(
    ("content", "message"),
    [pytest.param(b"a = = 1", "is not TOML", id="syntax"), pytest.param(b"\xff\xfe", "is not TOML", id="binary")],
)
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_settings(path)


def test_a_missing_file_is_named_with_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No configuration file .*; name a TOML file, or smoke or full\.") as refused:
        load_settings(tmp_path / "none.toml")
    for name in re.findall(r"\w+", str(refused.value).rpartition("TOML file,")[2].replace(" or ", " ")):
        assert load_settings(Path(name))
    with pytest.raises(ConfigError, match="No configuration file 'weights'"):  # a table of files, beside the settings
        load_settings(Path("weights"))


def test_paths_mean_the_same_to_a_worker_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = toml(tmp_path, 'weights = "w"\nmirror = "m"\n[download]\nmirrors = ["eu", "near", "http://x.org/m"]\n')
    variables = path_variables(load_settings(Path(path.name)))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(config_file(path))
    assert (settings.weights, settings.mirror) == (tmp_path / "w", str(tmp_path / "m"))
    assert settings.download.mirrors == ("eu", str(tmp_path / "near"), "http://x.org/m")
    assert not path_variables(Settings())
    assert config_file(Path("smoke")).is_file()  # a name of reelsift's own, which is no file in that folder


def test_a_mirror_named_for_a_run_replaces_the_listed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_MIRROR", "eu")
    settings = load_settings()
    assert settings.download_from().mirrors == ("eu",)
    assert settings.download_from("asia").mirrors == ("asia",)


def test_a_preset_of_ones_own_stands_beside_the_built_in_ones(tmp_path: Path) -> None:
    settings = load_settings(toml(tmp_path, '[presets.big]\nmodel = "gated"\nhidden_size = 2048\n[train]\nseed = 7\n'))
    chosen = settings.candidates(("big", "logistic"))
    assert chosen["big"].hidden_size == 2048
    assert {config.seed for config in chosen.values()} == {7}
    assert settings.candidates(("big",), seed=9)["big"].seed == 9


def test_the_whole_vocabulary_has_candidates_of_its_own(tmp_path: Path) -> None:
    assert set(load_settings().candidates(whole_vocabulary=True)) == {"logistic", "gated", "chain"}
    assert set(load_settings().candidates()) == {"logistic", "moe", "gated"}
    assert set(load_settings().candidates(("moe",), whole_vocabulary=True)) == {"moe"}
    settings = load_settings(toml(tmp_path, '[train]\nvocabulary_models = ["chain"]\n'))
    assert set(settings.candidates(whole_vocabulary=True)) == {"chain"}


def test_an_unknown_preset_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"No model preset 'huge'; there are logistic, moe, gated.*presets\.huge"):
        load_settings().candidates(("huge",))
    with pytest.raises(ConfigError, match=r"No model preset 'gatd'.* Did you mean 'gated'\?"):
        load_settings().candidates(("gatd",))


def test_an_empty_home_is_refused_in_our_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REELSIFT_HOME", "")
    with pytest.raises(ConfigError, match=r"^The setting home \(from REELSIFT_HOME\) is '': it must name a folder"):
        load_settings()


def test_no_variable_of_our_own_is_taken_for_an_unknown_setting() -> None:
    """Each process of a stack inherits them: one that is forgotten here ends every run of a worker."""
    root = Path(__file__).parents[2]
    sources = [
        path for top in ("conf", "flows", "reelsift", "tasks", "deployments") for path in (root / top).rglob("*.py")
    ]
    named = {name for path in sources for name in re.findall(r'= "(REELSIFT_[A-Z_]+)"', path.read_text())}
    assert "REELSIFT_UP" in named
    settings = {f"REELSIFT_{field.upper()}" for field in Settings.model_fields}
    assert {name for name in named if name.split("__")[0] not in settings} <= OTHER_VARIABLES
