"""`tensorshark serve`: the engine for programs in any language, as JSON-RPC 2.0 over two pipes.

    protocol.py    what a message is: bytes -> calls, answers -> bytes
    streams.py     lines in, lines out, and a client that does not read
    shapes/        what methods take and give
    methods.py     the table of methods; calls.py and jobs.py: decode -> Engine -> encode, and nothing more
    selections.py  what filters have selected lately, for the next page
    lanes.py       requests that take long, beside those that do not
    following.py   the index kept up with a capture that grows
    session.py     one client: reads, dispatches, answers, ends
    document.py    docs/serve.md and `serve --schema`, made from the table

See docs/serve.md.
"""
