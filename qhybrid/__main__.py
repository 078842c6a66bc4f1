"""`python -m qhybrid` is the `qhybrid` command."""

import sys

from qhybrid.cli import main

sys.exit(main())
