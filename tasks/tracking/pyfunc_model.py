"""The script that MLflow runs to load a model ("models from code")."""

from pathlib import Path

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from tasks.classifier.fitted import FittedClassifier


class ClassifierModel(PythonModel):
    """A fitted classifier behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights."""
        self.classifier = FittedClassifier.load(Path(context.artifacts["classifier"]))

    # MLflow looks for exactly these parameters and, without the hint, warns at each load; its own returns nothing.
    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        context: PythonModelContext,  # noqa: ARG002
        model_input: np.ndarray,
        params: dict | None = None,  # noqa: ARG002
    ) -> np.ndarray:
        """Return the labels' probabilities."""
        return self.classifier.predict(model_input)


set_model(ClassifierModel())
