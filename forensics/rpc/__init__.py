"""`tensorshark serve`: the engine for programs in any language, as JSON-RPC 2.0 over two pipes.

    protocol.py    what a message is: bytes -> calls, answers -> bytes
    streams.py     lines in, lines out, and a client that does not read
    shapes.py      what methods take and give
    methods.py     the table of methods: decode -> Engine -> encode, and nothing more
    lanes.py       requests that take long, beside those that do not
    session.py     one client: reads, dispatches, answers, ends
    document.py    docs/serve.md and `serve --schema`, made from the table

See docs/serve.md.
"""
