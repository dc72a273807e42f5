"""An append-only log of JSON lines in segment files, each record chained to the one before by SHA-256.

`chain` is the line and its hash, `segments` the files, `log` the one writer, `reading` everybody's eyes, `verification`
the proof. A log can only grow: what a crash left half written is set aside where it lies, and the next segment says so.
Whoever knows an older head can prove that nothing up to it was changed, removed, reordered or cut off. Knows no domain:
a record is a JSON object of somebody else.
"""

from __future__ import annotations
