"""Encore's processes on one machine, for development: `manage.py serve` and the demos.

    children    starts, watches and stops child processes; knows nothing of Encore
    bound       the launcher that ends a child with its owner
    signals     Ctrl-C, SIGTERM and SIGHUP as one exception
    encore      which processes Encore is, and when they are ready
    accounts    the log-ins of a development database
    demos       what the demos share: the processes around a story, and how it ends
    client      speaks to the running Encore over REST and websocket, as an integration would

Production runs the same processes under its own process manager, one unit each.
"""
