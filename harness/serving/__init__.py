"""Systems over HTTP: an endpoint that speaks OpenAI's chat protocol, and a page to try them.

    worker      one thread that works with models
    app         the systems by name, and questions to them
    chat        requests and responses of OpenAI's chat protocol
    access      who may ask: addresses, origins, the token
    page        the page, and what it is told
    server      HTTP: routes, limits, headers

This package must not know suites or outcomes: it is given systems that are loaded.
"""
