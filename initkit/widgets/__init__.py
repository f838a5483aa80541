"""Pictures that follow a reader's hand: controls, when to draw (``figure``), and how (``render``)."""

from ..packages import needed_by

with needed_by("initkit.live", "matplotlib", "ipywidgets"):  # told of both at once
    import ipywidgets  # noqa: F401
    import matplotlib  # noqa: F401
