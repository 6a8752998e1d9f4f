"""A local Mobile Engagement, to develop and test against.

It answers the REST API (token endpoint, export tasks, devices, campaigns) with deterministic
synthetic data, writes real export files to the container URL that it is handed (Azure Blob
Storage, Azurite, or a ``file://`` folder), and can tell the truth about its data::

    with Simulator(Options(seed=7, devices=20)) as simulator:
        ...  # talk to simulator.url; simulator.options holds credentials and names
        simulator.clock.advance(days=3)
        simulator.truth("shop", "events", date(2016, 5, 1), date(2016, 5, 8))

``docs/simulator.md`` says what of it is documented fact and what assumption. Nothing of the tap
imports this package; of the tap it imports :mod:`tap_mobile_engagement.datatypes` at most.
"""

from tap_mobile_engagement.simulator.options import Options
from tap_mobile_engagement.simulator.server import Simulator

__all__ = ["Options", "Simulator"]
