"""Grades 04.py."""

import numpy as np
from grading import same

X = np.array([[-2.0, 0.3], [0.0, -0.05]])


def test_leaky_backward_where_the_gate_is_open(mine):
    same(mine.leaky_relu_backward(np.array([3.0, 5.0]), np.array([2.0, 0.1]), 0.1), [3, 5],
         "Where x > 0, y = x, so the gradient passes as it is.")


def test_leaky_backward_elsewhere(mine):
    g = np.array([[1.0, 2], [3, -4]])
    same(mine.leaky_relu_backward(g, X, 0.1), [[0.1, 2], [0.3, -0.4]],
         "Where x <= 0, y = slope * x, so the gradient is slope * g. It depends on the sign of x, "
         "not on the sign of g.")


def test_piece_stays_the_same_on_a_piece(mine):
    same(mine.leaky_relu_piece(2 * X), mine.leaky_relu_piece(X),
         "No element has crossed 0, so the two arrays must be equal: the piece is the sign of x, "
         "not its value.")


def test_piece_changes_at_the_kink(mine):
    for index in ((0, 0), (0, 1), (1, 1)):
        moved = X.copy()
        moved[index] *= -1
        same(np.array_equal(mine.leaky_relu_piece(moved), mine.leaky_relu_piece(X)), False,
             "One element has crossed 0, so the two arrays must differ.")


def f(x):
    return float(np.where(x > 0, x, 0.1 * x).sum())


def positive(x):
    return x > 0


def test_difference_on_a_piece(mine):
    same(mine.safe_difference(f, positive, X.copy(), (0, 1), [1e-2]), 1.0,
         "This step crosses nothing: the answer is (f(x + h) - f(x - h)) / (2 h).")


def test_difference_takes_a_smaller_step(mine):
    same(mine.safe_difference(f, positive, X.copy(), (0, 1), [1.0, 0.5, 0.1, 1e-3]), 1.0,
         "At x = 0.3, steps of 1 and 0.5 cross the kink. Compare the pieces, and go on to the next "
         "step.")
    same(mine.safe_difference(f, positive, X.copy(), (1, 1), [0.1, 1e-3]), 0.1,
         "At x = -0.05, the step 0.1 crosses above x and not below it. Compare both ends with x.")


def test_difference_keeps_to_the_order_of_steps(mine):
    same(mine.safe_difference(lambda x: float((x**3).sum()), positive, X.copy(), (0, 0), [1, 0.1]),
         13.0, "Both steps are usable here. Use the first one in the list.")


def test_difference_gives_up(mine):
    same(mine.safe_difference(f, positive, X.copy(), (1, 0), [1e-2, 1e-6]) is None, True,
         "x is exactly on the kink, so every step crosses. Return None.")


def test_difference_leaves_x_alone(mine):
    x = X.copy()
    mine.safe_difference(f, positive, x, (0, 1), [1.0, 0.1])
    same(x, X, "x has changed. Work on a copy, or put the old value back.")
