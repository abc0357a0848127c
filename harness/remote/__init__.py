"""What lies at an address such as ``s3://bucket/prefix``: artifacts, results and accepted scores that machines share.

`objects` reads and writes whole files through fsspec; `store` is the store of artifacts on top of it; `mirror` keeps a
local folder in step with an address for everything else, so that the rest of the harness reads and writes paths.
"""
