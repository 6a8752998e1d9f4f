import pytest

from tap_mobile_engagement.api import client as client_module
from tap_mobile_engagement.api.client import CAMPAIGN_KINDS
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords

from .fakes import APP_URL, FakeService, Reply, client_of, failing, task_json

VERSION = "api-version=2014-12-01"


class TestLists:
    def test_checking_an_app_lists_one_task(self) -> None:
        service = FakeService(Reply(content={"value": []}))

        client_of(service).check_app("shop")

        assert service.calls == ["GET /devices/exportTasks?api-version=2014-12-01&$top=1"]

    def test_tasks_are_listed_newest_first_over_all_pages(self) -> None:
        service = FakeService(
            Reply(content={"value": [task_json(task_id="t3"), task_json(task_id="t2")],
                           "nextLink": f"{APP_URL}/devices/exportTasks?$skip=2"}),
            Reply(content={"value": [task_json(task_id="t1")], "nextLink": ""}),
        )  # fmt: skip

        tasks = [*client_of(service).list_tasks("shop")]

        assert [task["id"] for task in tasks] == ["t3", "t2", "t1"]
        assert service.calls == [
            f"GET /devices/exportTasks?{VERSION}&$top=40&$orderby=dateCreated%20desc",
            "GET /devices/exportTasks?$skip=2&api-version=2014-12-01",
        ]

    def test_pages_are_asked_for_only_as_they_are_read(self) -> None:
        service = FakeService(
            Reply(content={"value": [{"deviceId": "d1"}], "nextLink": "devices?$skip=1"})
        )

        devices = client_of(service).list_devices("shop")

        assert next(devices) == {"deviceId": "d1"}
        assert len(service.requests) == 1

    def test_the_token_is_never_sent_to_another_host(self) -> None:
        service = FakeService(
            Reply(content={"value": [], "nextLink": "https://evil.example/devices"})
        )

        error = failing(service, "list_devices")

        assert error.code is Code.BAD_ANSWER
        assert "evil.example" in str(error)

    def test_a_list_that_links_to_itself_ends(self) -> None:
        page = Reply(content={"value": [{"deviceId": "d1"}], "nextLink": "devices?$skip=0"})

        error = failing(FakeService(page, page), "list_devices")

        assert error.code is Code.BAD_ANSWER
        assert "circles" in str(error)

    @pytest.mark.parametrize(("campaign_type", "kind"), CAMPAIGN_KINDS.items())
    def test_campaigns_are_listed_by_kind(self, campaign_type: str, kind: str) -> None:
        service = FakeService(Reply(content={"value": [{"id": 1, "state": "draft"}]}))

        campaigns = [*client_of(service).list_campaigns("shop", campaign_type)]

        assert campaigns == [{"campaignType": campaign_type, "id": 1, "state": "draft"}]
        assert service.calls == [f"GET /campaigns/{kind}?api-version=2014-12-01"]


class TestDevices:
    def test_details_are_added_in_the_order_of_the_list(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # One worker, so that the script's order is the requests' order.
        monkeypatch.setattr(client_module, "DETAIL_REQUESTS", 1)
        service = FakeService(
            Reply(content={"value": [{"deviceId": "d1", "meta": {"lastSeen": 1}},
                                     {"deviceId": "d 2", "appInfo": {"vip": "yes"}}]}),
            Reply(content={"deviceId": "d1", "meta": {"lastSeen": 2}, "info": {}}),
            Reply(404),
        )  # fmt: skip

        devices = [*client_of(service).list_devices_with_details("shop")]

        assert devices == [
            {"deviceId": "d1", "meta": {"lastSeen": 2}, "info": {}},
            {"deviceId": "d 2", "appInfo": {"vip": "yes"}},
        ]
        assert service.calls[1:] == [
            "GET /devices/d1?api-version=2014-12-01",
            "GET /devices/d%202?api-version=2014-12-01",
        ]

    def test_without_details_there_is_no_request_per_device(self) -> None:
        service = FakeService(Reply(content={"value": [{"deviceId": "d1"}]}))

        devices = [*client_of(service).list_devices("shop")]

        assert devices == [{"deviceId": "d1"}]
        assert len(service.requests) == 1

    def test_a_device_without_an_id_is_given_as_it_was_listed(self) -> None:
        listed = [{"meta": {}}, {"deviceId": ""}, {"deviceId": ".."}, 5, {"deviceId": 7}]
        service = FakeService(Reply(content={"value": listed}))

        assert [*client_of(service).list_devices_with_details("shop")] == listed

    def test_half_an_emoji_and_no_number_harm_nobody(self) -> None:
        body = b'{"value": [{"deviceId": "a\\ud83d", "meta": {"x": NaN}}, {"deviceId": "b"}]}'
        service = FakeService(Reply(content=body), Reply(404))

        first, second = client_of(service).list_devices_with_details("shop")

        # Reading replaces and counts it, as in a file; no URL can ask for such a device.
        assert first["deviceId"].encode("utf-16", "surrogatepass") == "a\ud83d".encode(
            "utf-16", "surrogatepass"
        )
        assert repr(first["meta"]["x"]) == "NaN"
        assert second == {"deviceId": "b"}

    def test_what_is_replaced_in_them_is_counted_as_in_a_file(self) -> None:
        ids = rb'{"deviceId": "a\ud83d"}, {"deviceId": "b"}, {"deviceId": "c\u0000"}'
        reply = Reply(content=b'{"value": [' + ids + b"]}")
        devices = client_of(FakeService(reply)).list_devices("shop")
        kind = next(each for each in DATA_TYPES if each.name == "devices")
        reader = RecordReader(kind, BadRecords("devices"))

        batches = reader.batches_of_elements(Origin(kind, "shop", None, "2016-05-08"), devices)

        found = [record["device_id"] for batch in batches for record in batch.dictionaries()]
        assert found == ["a\ufffd", "b", "c\ufffd"]
        assert reader.repaired == 2
