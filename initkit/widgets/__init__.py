"""Pictures that follow a reader's hand: controls, when to draw (``figure``), and how (``render``)."""
