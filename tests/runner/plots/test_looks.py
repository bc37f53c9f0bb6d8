"""Entries can be told apart by all readers, in print too, and keep their names."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_rgb

from runner.report.plots.styles import DISTINCT, PALETTE, cut, look, names_of, one_line, wrapped

Colour = npt.NDArray[np.float64]

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes, A Physiologically-based Model for Simulation of
# Color Vision Deficiency, 2009: the matrices for severity 1, on linear RGB.
MACHADO = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "normal": np.eye(3).tolist(),
    "greyscale": [[0.2126, 0.7152, 0.0722]] * 3,
}
# CIELAB (1976): 2.3 is just seen where two colours touch, 10 at a glance. In grey seven colours
# have one axis to be apart on.
LEAST, LEAST_GREY, LEAST_ANY = 20.0, 8.0, 15.0


def linear(colour: str) -> Colour:
    srgb = np.array(to_rgb(colour))
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: Colour) -> Colour:
    """CIELAB (D65) of linear RGB."""
    xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    ) @ np.clip(rgb, 0, 1)
    f = [
        float(np.cbrt(v)) if v > (6 / 29) ** 3 else v / (3 * (6 / 29) ** 2) + 4 / 29
        for v in xyz / np.array([0.95047, 1.0, 1.08883])
    ]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen_apart(one: str, other: str, how: str) -> float:
    matrix = np.array(MACHADO[how])
    return float(np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))))


def test_the_simulation_takes_colours_for_one_that_dichromats_do() -> None:
    # A red and a green of one lightness, and what a tritanope mixes up: blue-green and blue.
    assert seen_apart("#a06000", "#5f7f00", "deuteranopia") < 8
    assert seen_apart("#a06000", "#5f7f00", "normal") > 30
    assert seen_apart("#ff0000", "#00ff00", "normal") == pytest.approx(170.6, abs=0.5)
    assert seen_apart("#777777", "#777777", "tritanopia") == 0
    # Greys stay what they are.
    for how in MACHADO:
        assert seen_apart("#000000", "#ffffff", how) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("how", MACHADO)
def test_neighbours_differ_in_colour_for_everybody(how: str) -> None:
    for one, other in itertools.pairwise([*PALETTE, PALETTE[0]]):
        least = LEAST_GREY if how == "greyscale" else LEAST
        assert seen_apart(one, other, how) > least, (one, other)


@pytest.mark.parametrize("how", sorted(MACHADO.keys() - {"greyscale"}))
def test_any_two_colours_differ_for_everybody(how: str) -> None:
    for one, other in itertools.combinations(PALETTE, 2):
        assert seen_apart(one, other, how) > LEAST_ANY, (one, other)


@pytest.mark.parametrize("how", MACHADO)
def test_colours_stand_out_from_paper(how: str) -> None:
    for colour in PALETTE:
        assert seen_apart(colour, "#ffffff", how) > 20, colour


def test_no_two_entries_differ_in_colour_alone() -> None:
    looks = [look(number) for number in range(DISTINCT)]
    assert len({(one.marker, str(one.dash)) for one in looks}) == DISTINCT
    for one, other in itertools.pairwise(looks):
        assert one.marker != other.marker and one.dash != other.dash


NAMES = [
    "nft",
    "a$_b$ and $x^2$",
    "<script>alert(1)</script> & more",
    "\x1b[31mred\x00\x07",
    "line\nline\ttab",
    "\u202edrawkcab",
    "方法 ☃ 🐈",
    "\uffff\ufffe",
    "x" * 200,
    "x" * 199 + "y",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_one_short_line_that_xml_holds(name: str) -> None:
    shown = names_of([name])[name]
    assert 0 < len(shown) <= 30 and "\n" not in shown and "\x1b" not in shown
    element = ElementTree.Element("text")
    element.text = shown
    text = ElementTree.tostring(element, encoding="unicode")
    assert ElementTree.fromstring(text).text == shown


def test_names_that_are_cut_keep_both_ends_and_stay_different() -> None:
    assert cut("a" * 40 + "(lr=0.1)", 20) == "a" * 10 + "…a(lr=0.1)"
    labels = [f"{'x' * 50}{number}{'y' * 50}" for number in range(12)]
    names = names_of(labels)
    assert len(set(names.values())) == 12 and max(map(len, names.values())) <= 30
    assert one_line(" a \n b\x1b ") == "a b\\x1b"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("darcy", ["darcy"]),
        ("diffusion_reaction_1d", ["diffusion_", "reaction_1d"]),
        ("suite/compressible_ns_1d", ["suite/", "compressible", "_ns_1d"]),
    ],
)
def test_names_of_tasks_are_broken_where_words_end(text: str, lines: list[str]) -> None:
    broken = wrapped(text, 12).split("\n")
    assert broken == lines
