"""Train networks in the stages of the paper: settings, images, gradients, loop, evaluation."""

from fcn_numpy.training.class_weights import balanced_class_weights
from fcn_numpy.training.evaluation import evaluate, example_predictions
from fcn_numpy.training.loop import (
    StepReport,
    TrainingDiverged,
    TrainingInterrupted,
    TrainingStopped,
    train,
)
from fcn_numpy.training.own_data import OwnData
from fcn_numpy.training.run_folder import (
    check_new,
    read_classes_of,
    read_history,
    read_scores,
    read_settings,
)
from fcn_numpy.training.scoring import score_images
from fcn_numpy.training.settings import Settings
from fcn_numpy.training.stages import SEGMENTERS, STAGES, Stage, effective_learning_rate
from fcn_numpy.training.workers import WorkerFailed

__all__ = [
    "SEGMENTERS",
    "STAGES",
    "OwnData",
    "Settings",
    "Stage",
    "StepReport",
    "TrainingDiverged",
    "TrainingInterrupted",
    "TrainingStopped",
    "WorkerFailed",
    "balanced_class_weights",
    "check_new",
    "effective_learning_rate",
    "evaluate",
    "example_predictions",
    "read_classes_of",
    "read_history",
    "read_scores",
    "read_settings",
    "score_images",
    "train",
]
