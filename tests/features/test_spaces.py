"""Which feature spaces there are, which are available here, and how one is opened by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from conf.settings import Settings, load_settings
from flows.dataset_requests import weights_of
from tasks.contracts.errors import ConfigError, MissingWeightsError
from tasks.contracts.features import YT8M
from tasks.features import shipped as embedded
from tasks.features.spaces import full_name, how_to_have, is_available, missing_for, open_extractor, space_names
from tasks.weights.config import NEEDED_WEIGHTS
from tasks.weights.store import WeightsStore
from tests.support.picture_network import picture_network

ROOT = Path(__file__).parents[2]
OWN = """
[weight_files.mine]
file_name = "mine.onnx"

[feature_spaces.own-space]
weights = "mine"
sound = false

[feature_spaces.nowhere]
weights = "unknown"

[feature_spaces.resnet]
model = "resnet18"
weights = "mine"
layer = "avgpool"
"""


def settings_of(folder: Path, text: str = OWN) -> Settings:
    config = folder / "own.toml"
    config.write_text(text)
    return load_settings(config, None).model_copy(update={"home": folder / "home", "weights": folder / "given"})


@pytest.fixture
def store(tmp_path: Path) -> WeightsStore:
    (tmp_path / "given").mkdir()
    return weights_of(settings_of(tmp_path))


def test_they_are_listed_and_known_by_a_short_name(store: WeightsStore) -> None:
    assert space_names(store) == ("efficientnet-lite0", "yt8m", "own-space", "nowhere", "resnet")
    assert full_name("yt8m", store) == full_name("yt8m-video-2018", store) == YT8M.name
    with pytest.raises(ConfigError, match=r"No feature space 'efficientnet'\. Did you mean 'efficientnet-lite0'\?"):
        full_name("efficientnet", store)


def test_what_is_missing_is_named_and_how_to_have_it(store: WeightsStore, tmp_path: Path) -> None:
    assert missing_for("efficientnet-lite0", store) == ()
    assert missing_for("yt8m", store) == NEEDED_WEIGHTS
    assert missing_for("own-space", store) == ("mine",)
    assert [name for name in space_names(store) if is_available(name, store)] == ["efficientnet-lite0"]
    assert not is_available("of-nobody", store)
    assert how_to_have("efficientnet-lite0", store) == ""
    assert how_to_have("yt8m", store).startswith("`reelsift weights fetch yt8m`, or put ")
    assert how_to_have("own-space", store).startswith("Put it there by hand, as mine.onnx, into")
    assert how_to_have("nowhere", store).startswith("Describe the weights unknown in [weight_files.unknown]")
    (tmp_path / "given" / "mine.onnx").write_bytes(picture_network())
    assert is_available("own-space", store)
    assert open_extractor("own-space", store).space.name == "own-space"


def test_one_that_is_not_available_is_refused_with_what_to_fetch(store: WeightsStore) -> None:
    with pytest.raises(
        MissingWeightsError, match=r"yt8m-video-2018 is not available.* inception-2015, .*`reelsift weights fetch yt8m`"
    ):
        open_extractor("yt8m", store)
    with pytest.raises(ConfigError, match=r"No weights 'unknown'.*\[weight_files\.unknown\]"):
        open_extractor("nowhere", store)


def test_a_missing_package_makes_the_embedded_one_unavailable(
    store: WeightsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    assert not is_available("efficientnet-lite0", store)
    assert how_to_have("efficientnet-lite0", store).startswith("Install what requirements.lock names")
    with pytest.raises(MissingWeightsError, match="make install"):
        open_extractor("efficientnet-lite0", store)


def test_availability_and_opening_the_embedded_one_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from conf.settings import load_weights_table; "
        "from tasks.features.spaces import is_available, open_extractor; from tasks.weights.store import WeightsStore; "
        "store = WeightsStore(folder=Path(sys.argv[1]), table=load_weights_table()); "
        "print(is_available('yt8m', store), is_available('efficientnet-lite0', store)); "
        "open_extractor('efficientnet-lite0', store); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True, cwd=ROOT)
    said, _, modules = run.stdout.partition("\n")
    assert said == "False True"
    assert not {"torch", "torchvision", "tensorflow", "onnxruntime", "mlflow", "prefect"} & set(modules.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[feature_spaces.yt8m]\nweights = "mine"',
            r"yt8m is a feature space that reelsift ships with",
        ),
        ('[feature_spaces.own]\nmodel = "resnet18"\nweights = "mine"', r"`layer` must name one of resnet18"),
        ('[feature_spaces.own]\nlayer = "x"\nweights = "mine"', r"`layer` is no setting of an ONNX file"),
        ('[feature_spaces.own]\nlayers = "x"\nweights = "mine"', r"layers"),
        ('[feature_spaces."Own space"]\nweights = "mine"', r"feature_spaces"),
    ],
    ids=["shipped", "no-layer", "of-the-other-kind", "unknown-key", "name"],
)
def test_settings_that_are_wrong_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        settings_of(tmp_path, text)
    assert "\n" not in str(error.value)
