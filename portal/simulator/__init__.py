"""A cloud provider that runs on the desk: Identity, Load Balancers, Servers, and their traffic.

It stands alone: no Django, no other part of the portal. `world.py` is the pure model (injected time, seeded
chance, no I/O), `app.py` an ASGI skin that speaks HTTP, `python -m portal.simulator` the process.
"""
