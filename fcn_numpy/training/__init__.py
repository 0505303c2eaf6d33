"""Training in the paper's stages: settings, pictures, gradients, the loop, what it has reached."""

from fcn_numpy.training.evaluation import (
    evaluate,
    example_predictions,
    read_classes_of,
    read_history,
    read_scores,
)
from fcn_numpy.training.learner import score_pictures
from fcn_numpy.training.loop import (
    Progress,
    TrainingDiverged,
    TrainingStopped,
    check_new,
    train,
)
from fcn_numpy.training.pictures import OwnData
from fcn_numpy.training.settings import (
    SEGMENTERS,
    STAGES,
    Settings,
    effective_learning_rate,
    read_settings,
)

__all__ = [
    "SEGMENTERS",
    "STAGES",
    "OwnData",
    "Progress",
    "Settings",
    "TrainingDiverged",
    "TrainingStopped",
    "check_new",
    "effective_learning_rate",
    "evaluate",
    "example_predictions",
    "read_classes_of",
    "read_history",
    "read_scores",
    "read_settings",
    "score_pictures",
    "train",
]
