"""A worker process: ``python -m tap_mobile_engagement.workers FILE_DESCRIPTOR``.

The SDK takes half a second to load. All that a worker needs of it is the class from which the
errors of the tap are derived, and no error leaves the process; so a stand-in will do.
"""

from __future__ import annotations

import sys
from types import ModuleType

_stand_in = ModuleType("singer_sdk.exceptions")
vars(_stand_in)["SingerSDKError"] = type("SingerSDKError", (Exception,), {})
sys.modules[_stand_in.__name__] = _stand_in

from tap_mobile_engagement.workers.worker import main  # noqa: E402  (now that it is there)

main(int(sys.argv[1]))
