"""The picture: points on their axes, one legend for panels of the same curves."""

from xml.etree import ElementTree

from tasks.accuracy.plot import PANEL, Curve, Panel, draw_panels


def make_panel(ends: tuple[float, float], name: str = "one", *, log: bool = False) -> Panel:
    curve = Curve(name, "#000000", False, [(ends[0], 0.0), (ends[1], 1.0)])
    return Panel("Title", "axis", [curve], ticks=ends, is_logarithmic=log)


def test_points_lie_on_a_logarithmic_axis() -> None:
    width, height = PANEL
    panel = make_panel((60, 960), log=True)
    assert panel.place_point(60, 0) == (0, height)
    assert panel.place_point(240, 0.5) == (width / 2, height / 2)
    assert panel.place_point(960, 1) == (width, 0)


def test_points_lie_on_an_even_axis() -> None:
    width, height = PANEL
    panel = make_panel((0.2, 0.8))
    assert panel.place_point(0.2, 0) == (0, height)
    assert panel.place_point(0.5, 0.5) == (width / 2, height / 2)
    assert panel.place_point(0.8, 1) == (width, 0)


def test_panels_of_the_same_curves_share_a_legend() -> None:
    def list_texts(*panels: Panel) -> list[str]:
        root = ElementTree.fromstring(draw_panels(panels))  # noqa: S314 (its own)
        return [element.text for element in root.iter() if element.text]

    ends = (0.0, 180.0)
    assert list_texts(make_panel(ends), make_panel(ends)).count("one") == 1
    assert list_texts(make_panel(ends), make_panel(ends, "two")).count("two") == 1
