"""Believable names: phones, carriers, places, and what happens in an app.

Some of the texts are there to be awkward: quotes, brackets, `},{`, line breaks, characters
outside ASCII and outside the first Unicode plane. A reader that cuts JSON by looks alone trips
over them.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Phone(NamedTuple):
    """A model, and the push service that its platform uses."""

    manufacturer: str
    model: str
    firmware_name: str
    firmware_version: str
    android_api_level: int | None
    push: str


class Place(NamedTuple):
    """Where a device is, and what follows from that."""

    country: str
    region: str
    locality: str
    locale: str
    carriers: tuple[str, ...]
    utc_offset_minutes: int


PHONES = (
    Phone("samsung", "SM-G930F", "Android", "6.0.1", 23, "gcm"),
    Phone("samsung", "SM-J500FN", "Android", "5.1.1", 22, "gcm"),
    Phone("LGE", "Nexus 5X", "Android", "6.0.1", 23, "gcm"),
    Phone("HUAWEI", "ALE-L21", "Android", "5.0.1", 21, "gcm"),
    Phone("Sony", 'Xperia Z5 "Compact"', "Android", "6.0", 23, "gcm"),
    Phone("motorola", "Moto G (3rd gen)", "Android", "5.1.1", 22, "gcm"),
    Phone("Amazon", "KFASWI", "Fire OS", "4.5.5", 19, "adm"),
    Phone("Apple", "iPhone8,1", "iOS", "9.3.1", None, "apns"),
    Phone("Apple", "iPhone7,2", "iOS", "9.2.1", None, "apns"),
    Phone("Apple", "iPad5,3", "iOS", "9.3", None, "apns"),
    Phone("Microsoft", "Lumia 950 [RM-1104]", "Windows", "10.0.10586", None, "wns"),
    Phone("Nokia", "Lumia 630", "Windows Phone", "8.1", None, "mpns"),
)

PLACES = (
    Place("FR", "Île-de-France", "Paris", "fr_FR", ("Orange F", "SFR", "Bouygues"), 120),
    Place("DE", "Bayern", "München", "de_DE", ("Telekom.de", "o2 - de"), 120),
    Place("GB", "England", "King's Lynn", "en_GB", ("EE", "vodafone UK", "3"), 60),
    Place("US", "California", "San José", "en_US", ("AT&T", "Verizon", "T-Mobile"), -420),
    Place("US", "New York", "New York", "en_US", ("AT&T", "Sprint"), -240),
    Place("BR", "São Paulo", "São Paulo", "pt_BR", ("VIVO", "Claro BR"), -180),
    Place("IN", "महाराष्ट्र", "मुंबई", "hi_IN", ("airtel", "Vodafone IN"), 330),
    Place("JP", "東京都", "渋谷区", "ja_JP", ("NTT DOCOMO", "SoftBank"), 540),
    Place("RU", "Москва", "Москва", "ru_RU", ("МегаФон", "Beeline"), 180),
    Place("EG", "القاهرة", "القاهرة", "ar_EG", ("Vodafone EG",), 120),
)

NETWORKS = (("wifi", None), ("mobile", "LTE"), ("mobile", "HSPA+"), ("mobile", "EDGE"))
APP_VERSIONS = ((41, "2.0.1"), (42, "2.1.0"), (44, "2.1.2-β"), (47, "2.2.0"))
SDK_VERSION = "4.2.3"

ACTIVITIES = (
    "home",
    "category",
    "product",
    "search",
    "basket",
    "checkout",
    "account",
    "Über uns",
)
EVENTS = (
    "add_to_basket", "remove_from_basket", "search", "share", "like", "banner_click", "login",
    "filter[price]", 'tap "more"', "désabonnement", "お気に入り", "push_opened",
)  # fmt: skip
ERRORS = ("http_500", "image_missing", "payment_declined", "parse {json}", "timeout")
JOBS = ("checkout", "upload", "download_catalogue", "video", "sync")

CRASHES = (
    ("java.lang.NullPointerException", 'Attempt to invoke "size()" on a null object'),
    ("java.lang.OutOfMemoryError", "Failed to allocate a 12,582,924 byte allocation"),
    ("java.lang.IllegalStateException", "Can not do this after {onSaveInstanceState}"),
    ("NSInvalidArgumentException", "-[__NSCFString objectForKey:]: unrecognized selector"),
    ("SIGSEGV", "Segmentation fault at 0x0000000000000010"),
    ("System.NullReferenceException", "Der Objektverweis wurde nicht festgelegt."),
)  # fmt: skip
FRAMES = (
    "\tat com.contoso.shop.basket.BasketFragment.render(BasketFragment.java:{line})",
    "\tat com.contoso.shop.api.Parser$1.run(Parser.java:{line})",
    "\tat android.os.Handler.dispatchMessage(Handler.java:{line})",
    '\tat C:\\build\\shop\\"view".cs:{line}',
)

AWKWARD = (
    'he said "ok", then }],[{ left', "line one\nline two\ttabbed", "C:\\temp\\file",
    "naïve café", "日本語 テスト", "👍🏽 emoji", "a,b;c|d", "[1, 2, {]}", "", " spaces ",
    "null", "0012", "€ 9,99", "\u2028separator", "'; DROP TABLE events; --",
)  # fmt: skip

SEARCHES = ("red shoes", "robe d'été", "Größe 42", "tv 4k", "кофе", "coffee {beans}")

CAMPAIGNS = {
    "Announcement": ("Welcome back", "Spring sale 🌷", "Nouveautés d'été", 'The "big" one'),
    "DataPush": ("catalogue refresh", "prices [EU]", "feature flags"),
    "NativePush": ("Basket reminder", "Fin des soldes", "Back in stock"),
    "Poll": ("How do you like us?", "Zufriedenheit 2016", "Delivery options {A/B}"),
}

# What may become of a campaign on a device, in order, with the share of devices.
FEEDBACK: dict[str, tuple[tuple[float, tuple[str, ...]], ...]] = {
    "Announcement": (
        (0.30, ("Queued", "InAppNotificationDisplayed", "InAppNotificationExited")),
        (0.25, ("Queued", "InAppNotificationDisplayed", "InAppNotificationActioned",
                "ContentDisplayed", "ContentActioned")),
        (0.15, ("Queued", "SystemNotificationDisplayed", "SystemNotificationActioned",
                "ContentDisplayed", "ContentExited")),
        (0.15, ("Queued", "Dropped")),
        (0.15, ("None",)),
    ),
    "DataPush": (
        (0.70, ("Queued", "ContentDisplayed", "ContentActioned")),
        (0.20, ("Queued", "Dropped")),
        (0.10, ("None",)),
    ),
    "NativePush": (
        (0.45, ("Queued", "SystemNotificationDisplayed", "SystemNotificationActioned")),
        (0.35, ("Queued", "SystemNotificationDisplayed", "SystemNotificationExited")),
        (0.20, ("Queued", "Dropped")),
    ),
    "Poll": (
        (0.40, ("Queued", "InAppNotificationDisplayed", "InAppNotificationExited")),
        (0.35, ("Queued", "InAppNotificationDisplayed", "InAppNotificationActioned",
                "ContentDisplayed", "ContentActioned")),
        (0.25, ("Queued", "InAppNotificationDisplayed", "InAppNotificationActioned",
                "ContentDisplayed", "ContentExited")),
    ),
}  # fmt: skip

# Undocumented fields, for the switch that adds them to elements of files.
UNDOCUMENTED: dict[str, Any] = {"sdkBuild": 1207, "partition": {"shard": "eu-3", "hot": False}}
