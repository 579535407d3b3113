"""Numbers as literal text."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorshark.tui.widgets.numbers import figure, share, short


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (24827.4, "24,827"), (148.0, "148.0"), (999.96, "1,000"), (3.14159, "3.142"), (1, "1.000"),
        (0.07134, "0.0713"), (0.999, "0.999"), (0.99999, "1.000"), (4.2e-5, "4.20e-05"), (0.39, "0.390"),
        (-17.93, "-17.93"),
        (0, "0"), (nan, "nan"), (inf, "inf"), (1.5e9, "1.500e+09"),
    ],
)  # fmt: skip
def test_figure(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.0713, 4, ".071"), (0.0713, 3, ".07"), (148.02, 3, "148"), (148.02, 6, "148.02"),
        (24827, 5, "24.8k"), (24827, 3, "25k"), (4.2e-5, 4, "4e-5"), (4.2e-5, 3, ".00"), (0, 3, "0"), 
        (-0.5, 4, "-.50"),
        (-0.5, 3, "-.5"), (999.99, 3, "1k"), (nan, 3, "nan"), (inf, 3, "inf"), (123456, 2, "#"),
        (5.0, 1, "5"),
        (1.5e15, 4, "2e15"),
    ],
)  # fmt: skip
def test_short(value: float, width: int, text: str) -> None:
    assert short(value, width) == text


@given(st.floats(allow_nan=True, allow_infinity=True, width=32), st.integers(1, 12))
def test_short_always_fits(value: float, width: int) -> None:
    assert 1 <= len(short(value, width)) <= width


@given(st.floats(min_value=-1e6, max_value=1e6, width=32))
def test_short_reads_back_within_what_it_shows(value: float) -> None:
    text = short(value, 7)
    read = float(text.replace("k", "e3").replace("M", "e6"))
    assert read == pytest.approx(value, rel=0.06, abs=0.0005)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.4123, ".412"), (1.0, "1.00"), (0.9999, "1.00"), (0.0001, "<.001"), (0, ".000"), (nan, "nan")],
)
def test_share(value: float, text: str) -> None:
    assert share(value) == text
