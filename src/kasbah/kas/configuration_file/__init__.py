"""kas' configuration file: GitLab's schema, whole; text in, records out. Knows no feature of kas.

`schema` is the file as records with GitLab's defaults and rules, `values` the scalars protobuf writes in its own way,
`reading` turns a file into the records and tells everything that is wrong with it at once.
"""

from __future__ import annotations
