"""PySpark's daemon, with what its processes need imported once, before it forks them."""

from pyspark.daemon import manager

import tap_mobile_engagement.output.arrow
import tap_mobile_engagement.spark  # noqa: F401

if __name__ == "__main__":
    manager()
