"""Devices as the devices API answers them (documented in Microsoft's API description)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.clock import NANOSECONDS

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator.devices import Device
    from tap_mobile_engagement.simulator.layout import Layout

_MILLISECOND = NANOSECONDS // 1000


def device_answer(
    layout: Layout, device: Device, last_seen: int | None, moment: int, *, details: bool
) -> dict[str, Any]:
    """One device: ``meta`` and ``appInfo`` as in the list, with details ``info``, ``location``.

    Args:
        layout: How ids show.
        device: The device.
        last_seen: When it last used the app, nanoseconds since 1970; None if only once.
        moment: The present, likewise.
        details: Whether to answer as for a single device.
    """
    info_time = device.info_time(moment) // _MILLISECOND
    meta: dict[str, Any] = {
        "firstSeen": device.first_seen // _MILLISECOND,
        "lastSeen": (last_seen or device.first_seen) // _MILLISECOND,
        "lastInfo": info_time,
        "nativePushEnabled": bool(device.tokens(moment)),
    }
    if device.located:
        meta["lastLocation"] = info_time
    answer: dict[str, Any] = {"deviceId": layout.id(device.id), "meta": meta}
    tags = device.tags(moment)
    if tags is not None:
        answer["appInfo"] = tags
    if details:
        answer["info"] = _info(device, moment)
        if device.located:
            place = device.place
            answer["location"] = {
                "countrycode": place.country,
                "region": place.region,
                "locality": place.locality,
            }
    return answer


def _info(device: Device, moment: int) -> dict[str, Any]:
    code, name = device.version(moment)
    info = {
        "phoneManufacturer": device.phone.manufacturer,
        "phoneModel": device.phone.model,
        "firmwareName": device.phone.firmware_name,
        "firmwareVersion": device.phone.firmware_version,
        "androidAPILevel": device.phone.android_api_level,
        "applicationVersionCode": code,
        "applicationVersionName": name,
        "carrierName": device.carrier,
        "carrierCountry": None if device.carrier is None else device.place.country.lower(),
        "locale": device.place.locale,
        "networkType": device.network[0],
        "networkSubtype": device.network[1],
        "serviceVersion": vocabulary.SDK_VERSION,
        "timeZoneOffset": device.place.utc_offset_minutes,
    }
    return {key: value for key, value in info.items() if value is not None}
