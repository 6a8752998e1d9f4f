"""``python -m tap_mobile_engagement`` is the command ``tap-mobile-engagement``."""

from tap_mobile_engagement.tap import TapMobileEngagement

if __name__ == "__main__":
    TapMobileEngagement.cli(prog_name=TapMobileEngagement.name)
