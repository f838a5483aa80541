"""``python -m initkit``: the command, where no ``initkit`` is on the path."""

import sys

from .command import main

sys.exit(main())
