"""A local Mobile Engagement, to develop and test against.

It answers the REST API (token endpoint, export tasks, devices, campaigns) with deterministic
synthetic data, writes real export files to the container URL that it is handed (Azure Blob
Storage, Azurite, or a ``file://`` folder), and can tell the truth about its data::

    with Simulator(Options(seed=7, devices=20)) as simulator:
        ...  # talk to simulator.url; simulator.options holds credentials and names
        simulator.clock.advance(days=3)
        simulator.truth("shop", "events", date(2016, 5, 1), date(2016, 5, 8))

Faults are injected by a plan that is data: see :mod:`tap_mobile_engagement.simulator.faults`.
:class:`BlobProxy` injects those of reading, in front of a Blob Storage.

``docs/simulator.md`` says what of it is documented fact and what assumption. Nothing of the tap
imports this package; of the tap it imports :mod:`tap_mobile_engagement.datatypes` at most.
"""

try:
    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.proxy import BlobProxy
    from tap_mobile_engagement.simulator.server import Simulator
except ModuleNotFoundError as error:
    what = "The simulator is an extra: pip install 'tap-mobile-engagement[simulator]'"
    raise ModuleNotFoundError(what, name=error.name) from error

__all__ = ["BlobProxy", "Options", "Simulator"]
