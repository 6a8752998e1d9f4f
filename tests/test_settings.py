"""Settings: what holds by default, and one clear message for each that is wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import jsonschema
import pytest

from tap_mobile_engagement.errors import Code, SettingsError
from tap_mobile_engagement.redaction import redact
from tap_mobile_engagement.settings import (
    REMOVED,
    SETTINGS,
    ArchiveType,
    Settings,
    check,
)
from tap_mobile_engagement.tap import TapMobileEngagement
from tests.support.settings import parse

TODAY = date(2017, 3, 1)
SIGNATURE = "c2lnbmF0dXJlLW9mLWEtdGVzdA%3D%3D"
CONTAINER = f"https://acct.blob.core.windows.net/exports?sv=2015-04-05&sp=rl&sig={SIGNATURE}"
CLIENT_SECRET = "cl1ent-s3cret-of-a-test"
ACCOUNT_KEY = "a2V5LW9mLWEtdGVzdC1hY2NvdW50"
API: dict[str, Any] = {
    "container_url": CONTAINER,
    "subscription_id": "5ub",
    "resource_group": "MobileEngagement",
    "app_collection": "shop-collection",
    "app_names": ["shop-android", "shop-ios"],
    "tenant_id": "contoso.onmicrosoft.com",
    "client_id": "c11e47",
    "client_secret": CLIENT_SECRET,
    "start_date": "2016-05-01",
}
ARCHIVE: dict[str, Any] = {"source": "archive", "container_url": "file:///exports"}


def read(**config: Any) -> Settings:
    return parse({**API, **config}, today=TODAY)


def errors_of(config: dict[str, Any]) -> list[SettingsError]:
    settings, errors = check(config, today=TODAY)
    assert settings is None
    return errors


def names_blamed(errors: list[SettingsError]) -> list[str]:
    """The settings that errors are about, as their messages name them."""
    return [error.what.split()[2] for error in errors]


# Defaults.


def test_what_holds_by_default() -> None:
    assert read() == Settings(
        source="api",
        container_url=CONTAINER,
        storage_connection_string=None,
        task_container_url=None,
        subscription_id="5ub",
        resource_group="MobileEngagement",
        app_collection="shop-collection",
        app_names=("shop-android", "shop-ios"),
        tenant_id="contoso.onmicrosoft.com",
        client_id="c11e47",
        client_secret=CLIENT_SECRET,
        api_url="https://management.azure.com",
        authority_url="https://login.microsoftonline.com",
        start_date=date(2016, 5, 1),
        end_date=TODAY,
        window_days=7,
        lookback_days=3,
        campaign_types=("Announcement", "DataPush", "NativePush", "Poll"),
        device_details=True,
        export_format="JsonBlob",
        max_concurrent_tasks=4,
        task_timeout_minutes=1440,
        poll_interval_seconds=5.0,
        poll_max_interval_seconds=300.0,
        bad_records="fail",
        dead_letter_path=None,
        max_bad_records=1000,
        bad_files="fail",
        unrecognised_files="skip",
        no_files="fail",
        archive_pattern="**",
        archive_types=(),
        archive_encoding=None,
        timeline_path=None,
        delete_task_containers=False,
    )


def test_an_archive_needs_a_container_and_nothing_else() -> None:
    settings = parse(ARCHIVE, today=TODAY)

    assert settings.source == "archive"
    assert settings.container_url == "file:///exports"
    assert settings.app_names == ()


def test_an_account_stands_in_for_the_container_of_the_api() -> None:
    account = f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={ACCOUNT_KEY}"

    settings = read(container_url=None, storage_connection_string=account)

    assert settings.container_url is None
    assert settings.storage_connection_string == account


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_null_and_empty_texts_count_as_not_set(nothing: str | None) -> None:
    names = [setting.name for setting in SETTINGS if setting.name not in API]

    assert read(**dict.fromkeys(names, nothing)) == read()


def test_settings_of_the_sdk_are_left_alone() -> None:
    assert read(stream_maps={}, batch_config={}) == read()


# Values in other forms.


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2016-05-01", date(2016, 5, 1)),
        (" 2016-05-01 ", date(2016, 5, 1)),
        ("2016-05-01T00:00:00Z", date(2016, 5, 1)),
        ("2016-05-01T13:30:00.123Z", date(2016, 5, 1)),
        ("2016-05-01 13:30:00", date(2016, 5, 1)),
        ("2016-05-01T01:00:00+02:00", date(2016, 4, 30)),
        (date(2016, 5, 1), date(2016, 5, 1)),
        (datetime(2016, 5, 1, 13, tzinfo=UTC), date(2016, 5, 1)),
        (datetime(2016, 5, 1, 1, tzinfo=timezone(timedelta(hours=2))), date(2016, 4, 30)),
    ],
)
@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_dates_also_come_as_date_times(name: str, value: Any, expected: date) -> None:
    settings = read(**{"start_date": "2016-01-01", name: value})

    assert getattr(settings, name) == expected


def test_values_are_tidied() -> None:
    settings = read(
        client_id=" c11e47\n",
        api_url="http://127.0.0.1:8080/",
        app_names=["a", " b ", "a"],
        poll_interval_seconds=Decimal("0.5"),
        archive_types=[{"pattern": " old/* ", "data_type": "events"}],
    )

    assert settings.client_id == "c11e47"
    assert settings.api_url == "http://127.0.0.1:8080"
    assert settings.app_names == ("a", "b")
    assert settings.poll_interval_seconds == 0.5
    assert settings.archive_types == (ArchiveType("old/*", "events"),)


# Wrong values.

NO_TEXT = [5, True, ["x"], {"x": 1}, "a\0b", "\ud83d"]
NO_NAME = [*NO_TEXT, ".", ".."]
NO_DAY = [
    *("yesterday", "2016-02-30", "2016-05", "01.05.2016", 20160501, 1.5, True, ["2016-05-01"]),
    "0001-01-01T00:00:00+01:00",
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
]
NO_URL = [
    *("management.azure.com", "ftp://example.com", "https://", "http://[::1", "http://a:b"),
    *("https://:443", "http://a:99999", 5, ["https://a"], "https://a?b=c", "https://a#b"),
]
NO_COUNT = [0, -1, 1.5, "7", "x", True, [1], 10**12]
NO_SECONDS = [0, -1, "five", True, [5], float("nan"), float("inf"), Decimal("sNaN"), 10**400]
NO_REACTION = ["drop", "Fail", True, ["fail"]]
NO_FLAG = ["yes", 1, 0, "true", []]
NO_TYPES = [
    *("events", [5], ["events"], [{}], [{"pattern": "*"}]),
    [{"pattern": "*", "data_type": "gems"}],
    [{"pattern": "*", "data_type": ["events"]}],
    [{"pattern": 5, "data_type": "events"}],
    [{"pattern": " ", "data_type": "events"}],
    [{"pattern": "*", "data_type": "events", "more": 1}],
]
NO_TEXTS = ["shop", [5], ["shop", ""], ["\0"], {"a": 1}, 5, [["shop"]], [None]]
NO_APP = ["a/b", "a b", ".", "..", "../x", "x" * 300]
NO_CAMPAIGNS = ["Poll", [], ["poll"], ["Poll", "Other"], [5], {"Poll": True}]

WRONG: dict[str, list[Any]] = {
    "source": ["Api", "both", 5, ["api"]],
    "container_url": NO_TEXT,
    "storage_connection_string": NO_TEXT,
    "task_container_url": NO_TEXT,
    "subscription_id": NO_NAME,
    "resource_group": NO_NAME,
    "app_collection": NO_NAME,
    "app_names": NO_TEXTS,
    "tenant_id": NO_NAME,
    "client_id": NO_TEXT,
    "client_secret": NO_TEXT,
    "api_url": NO_URL,
    "authority_url": NO_URL,
    "start_date": NO_DAY,
    "end_date": NO_DAY,
    "window_days": NO_COUNT,
    "lookback_days": [value for value in NO_COUNT if value != 0],
    "campaign_types": NO_CAMPAIGNS,
    "device_details": NO_FLAG,
    "export_format": ["json", "Csv", 5],
    "max_concurrent_tasks": NO_COUNT,
    "task_timeout_minutes": NO_COUNT,
    "poll_interval_seconds": NO_SECONDS,
    "poll_max_interval_seconds": NO_SECONDS,
    "bad_records": NO_REACTION,
    "dead_letter_path": NO_TEXT,
    "max_bad_records": [value for value in NO_COUNT if value != 0],
    "bad_files": NO_REACTION,
    "unrecognised_files": NO_REACTION,
    "no_files": [*NO_REACTION, "skip"],
    "archive_pattern": NO_TEXT,
    "archive_types": NO_TYPES,
    "archive_encoding": [*NO_TEXT, "latin-99", "base64", "rot13"],
    "timeline_path": NO_TEXT,
    "delete_task_containers": NO_FLAG,
}


def test_wrong_values_are_tried_for_every_setting() -> None:
    assert list(WRONG) == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG.items() for value in values],
    ids=lambda part: str(part)[:30],
)
def test_a_wrong_value_gives_one_message_with_name_and_example(name: str, value: Any) -> None:
    (error,) = errors_of({**API, name: value})

    (setting,) = (setting for setting in SETTINGS if setting.name == name)
    message = str(error)
    assert error.code is Code.BAD_SETTING
    assert message.startswith(f"BAD_SETTING: the setting {name} ")
    assert f"Write it like this: {name}: {setting.example}" in message
    assert "\n" not in message
    if not setting.secret:
        written = str(value) if isinstance(value, Decimal) else repr(value)
        assert f", not {written[:200]}" in error.what


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("window_days", Decimal("7.5"), "7.5"),
        ("lookback_days", Decimal("-1E+400"), "-1E+400"),
        ("app_names", [Decimal("7.5"), "a"], "[7.5, 'a']"),
    ],
)
def test_a_fraction_is_shown_as_it_was_written(name: str, value: Any, written: str) -> None:
    (error,) = errors_of({**API, name: value})

    assert error.what.endswith(f", not {written}")


@pytest.mark.parametrize(
    "name",
    ["container_url", "storage_connection_string", "task_container_url", "client_secret"],
)
def test_a_wrong_secret_is_never_shown(name: str) -> None:
    (error,) = errors_of({**API, name: [CLIENT_SECRET, SIGNATURE]})

    assert CLIENT_SECRET not in str(error)
    assert SIGNATURE not in str(error)


def test_a_secret_in_the_wrong_place_is_not_shown_either() -> None:
    errors = errors_of({**API, "api_url": CONTAINER.replace("https", "ftp"), "start_date": "x"})

    assert names_blamed(errors) == ["api_url", "start_date"]
    assert SIGNATURE not in "".join(map(str, errors))


def test_a_long_value_is_cut_in_the_message() -> None:
    (error,) = errors_of({**API, "window_days": "7" * 10_000})

    assert len(str(error)) < 500


@pytest.mark.parametrize("place", ["exports", "/data/exports", "file:///data", "C:\\exports"])
def test_the_path_of_a_folder_is_no_secret(place: str) -> None:
    parse({**ARCHIVE, "container_url": place}, today=TODAY)

    assert redact(f"{place} is empty") == f"{place} is empty"


def test_every_wrong_setting_is_reported_at_once() -> None:
    errors = errors_of({**API, "window_days": 0, "end_date": "x", "source": "both"})

    assert names_blamed(errors) == ["source", "end_date", "window_days"]


def test_parse_raises_the_first_error() -> None:
    with pytest.raises(SettingsError, match="window_days"):
        read(window_days=0, lookback_days=-1)


# What is missing, and what does not fit together.


@pytest.mark.parametrize("name", list(API))
@pytest.mark.parametrize("nothing", [None, "", []])
def test_what_the_api_needs_is_asked_for_by_name(name: str, nothing: Any) -> None:
    if nothing == [] and name != "app_names":
        nothing = " "

    errors = errors_of({**API, name: nothing})

    assert names_blamed(errors) == [name]
    assert "is required" in str(errors[0])


def test_all_that_is_missing_is_asked_for_at_once() -> None:
    errors = errors_of({})

    assert sorted(names_blamed(errors)) == sorted(API)


def test_an_archive_needs_a_container_even_with_an_account() -> None:
    errors = errors_of({"source": "archive", "storage_connection_string": "AccountName=a"})

    assert names_blamed(errors) == ["container_url"]


def test_an_archive_has_one_label() -> None:
    (error,) = errors_of({**ARCHIVE, "app_names": ["a", "b"]})

    assert str(error).startswith("BAD_SETTING: the setting app_names may hold one label")
    assert str(error).endswith('Write it like this: app_names: ["shop"].')


@pytest.mark.parametrize("label", ["a", *NO_APP, "Café & Söhne / iOS", "店"])
def test_the_label_of_an_archive_is_any_text(label: str) -> None:
    settings = parse({**ARCHIVE, "app_names": [f" {label} "]}, today=TODAY)

    assert settings.app_names == (label,)


@pytest.mark.parametrize("name", NO_APP)
def test_an_app_of_the_api_is_a_resource_name(name: str) -> None:
    (error,) = errors_of({**API, "app_names": ["shop", name]})

    assert names_blamed([error]) == ["app_names"]
    assert repr(name) in str(error)


@pytest.mark.parametrize(
    "more", [{}, {"app_names": ["shop"]}, {"archive_pattern": "2017/**", "bad_files": "skip"}]
)
@pytest.mark.parametrize("container", [CONTAINER, "file:///exports", "/exports"])
def test_a_container_alone_is_taken_for_an_archive_without_its_source(
    container: str, more: dict[str, Any]
) -> None:
    (error,) = errors_of({"container_url": container, **more})

    assert str(error).startswith("BAD_SETTING: the setting source is not set")
    assert str(error).endswith("Write it like this: source: archive.")


@pytest.mark.parametrize(
    "also", [{"source": " api\n"}, {"source": "api"}, {"tenant_id": "contoso.example"}]
)
def test_whoever_means_the_api_is_told_what_it_lacks(also: dict[str, str]) -> None:
    errors = errors_of({"container_url": CONTAINER, **also})

    assert {*names_blamed(errors)} == API.keys() - {"container_url"} - also.keys()


@pytest.mark.parametrize("name", REMOVED)
@pytest.mark.parametrize("value", [4, True, False, "4"])
def test_a_setting_that_is_gone_says_what_to_use_instead(name: str, value: Any) -> None:
    (error,) = errors_of({**API, name: value})

    assert str(error) == f"BAD_SETTING: the setting {name} is gone. {REMOVED[name]}."
    assert read(**{name: None}) == read()


@pytest.mark.parametrize("end_date", ["2016-04-30", "2015-01-01T00:00:00Z"])
def test_an_end_before_the_start_is_blamed_on_the_end(end_date: str) -> None:
    (error,) = errors_of({**API, "end_date": end_date})

    assert names_blamed([error]) == ["end_date"]
    assert "start_date (2016-05-01)" in str(error)
    assert end_date[:10] in str(error)


def test_a_start_after_today_is_blamed_on_the_start() -> None:
    (error,) = errors_of({**API, "start_date": "2017-03-02"})

    assert names_blamed([error]) == ["start_date"]
    assert "2017-03-01" in str(error)


def test_an_end_on_the_start_is_an_empty_range_and_legal() -> None:
    assert read(end_date="2016-05-01").end_date == date(2016, 5, 1)
    assert read(start_date=TODAY).start_date == TODAY


def test_polling_may_grow_but_not_shrink() -> None:
    errors = errors_of({**API, "poll_interval_seconds": 10, "poll_max_interval_seconds": 5})

    assert names_blamed(errors) == ["poll_max_interval_seconds"]


# What users are shown.


def test_the_table_is_the_settings() -> None:
    assert [setting.name for setting in SETTINGS] == [*Settings.__struct_fields__]


def test_every_setting_is_described_and_has_an_example_and_a_sound_default() -> None:
    for setting in SETTINGS:
        assert setting.schema["description"].endswith("."), setting.name
        setting.typed(setting.schema["examples"][0])
        if setting.default is not None:
            setting.typed(setting.default)


def test_secrets_are_those_that_grant_access() -> None:
    secret = {setting.name for setting in SETTINGS if setting.secret}

    assert secret == {
        "container_url",
        "storage_connection_string",
        "task_container_url",
        "client_secret",
    }


def test_the_json_schema_takes_what_the_table_takes() -> None:
    schema = TapMobileEngagement.config_jsonschema

    jsonschema.Draft7Validator.check_schema(schema)
    for config in (API, ARCHIVE, {**API, "end_date": None, "bad_records": "skip"}):
        jsonschema.validate(config, schema)
    for config in ({"window_days": 0}, {"bad_records": "drop"}, {"app_names": "shop"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(config, schema)
    assert schema["properties"]["client_secret"]["secret"] is True
    assert schema["properties"]["window_days"]["default"] == 7
