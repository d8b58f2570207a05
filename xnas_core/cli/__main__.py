"""`python -m xnas_core.cli` is `xnas`."""

from __future__ import annotations

import sys

from xnas_core.cli import main

sys.exit(main())
