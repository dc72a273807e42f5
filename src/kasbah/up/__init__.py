"""`kasbah up`: hub and kas in one process, on one machine, with one public surface.

The only room above the wings. Everything persistent lies in one directory; two processes never share it. Started by
the command line with `python -m kasbah.up`; its flags are explained there.
"""

from __future__ import annotations
