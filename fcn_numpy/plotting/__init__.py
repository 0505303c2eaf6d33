"""Every figure that the project draws. Only this package imports matplotlib, when it draws."""

from fcn_numpy.plotting.canvas import use_defaults
from fcn_numpy.plotting.explanation import draw_explanation
from fcn_numpy.plotting.maps import draw_map, draw_maps, save_animation
from fcn_numpy.plotting.network import draw_network
from fcn_numpy.plotting.results import (
    draw_curves,
    draw_legend,
    draw_predictions,
    label_image,
    overlay,
    plot_convergence,
)

__all__ = [
    "draw_curves",
    "draw_explanation",
    "draw_legend",
    "draw_map",
    "draw_maps",
    "draw_network",
    "draw_predictions",
    "label_image",
    "overlay",
    "plot_convergence",
    "save_animation",
    "use_defaults",
]
