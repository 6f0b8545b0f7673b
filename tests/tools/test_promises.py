"""What `make bench` says of each promise about speed."""

from __future__ import annotations

from bench.promises import promises

FULL = {
    "seed_scale_accounts": 2_000.0,
    "seed_scale_contacts": 110_000.0,
    "seed_scale_audit": 1_000_000.0,
    "seed_scale_s": 60.0,
    "slowest_page_ms": 100.1,
    "accounts_page_1000_api_over_first": 1.2,
    "audit_page_1000_page_over_first": 1.21,
    "accounts_list_api_queries": 3.0,
    "contacts_list_page_queries": 7.0,
}


def test_a_promise_is_kept_up_to_its_limit_and_broken_beyond():
    kept = {promise.says: promise.is_kept for promise in promises(FULL)}
    assert kept == {
        "accounts, api: thousandth page over first page": True,
        "audit, page: thousandth page over first page": False,
        "accounts, api: queries of the list": True,
        "contacts, page: queries of the list": False,
        "seconds to fill a portal of full size": True,
        "the slowest page on it, ms (median)": False,
    }
    said = [str(promise) for promise in promises(FULL)]
    assert [line.startswith("BROKEN") for line in said] == [not value for value in kept.values()]


def test_nothing_is_said_of_what_was_not_measured_in_full_size():
    assert promises({}) == []
    smaller = {**FULL, "seed_scale_audit": 100_000.0}
    assert not any("full size" in promise.says or "slowest" in promise.says for promise in promises(smaller))


def test_forecasts_promise_speed_accuracy_and_honest_intervals():
    good = {
        "growth_over_peer": 100.0,
        "growth_mase_ours": 0.4,
        "growth_mase_naive_24": 1.5,
        "growth_mase_naive_168": 0.5,
        "growth_inside_95": 0.94,
        "growth_memory_mb_over_first_64_series": 1.0,
    }
    assert [promise.is_kept for promise in promises(good)] == [True] * 4
    bad = {**good, "growth_over_peer": 9.0, "growth_mase_ours": 0.45, "growth_inside_95": 0.9}
    assert [promise.is_kept for promise in promises(bad)] == [False, False, False, True]


def test_samples_promise_speed_beside_copy_and_beside_the_frameworks_own_way():
    good = {
        "samples_new_over_copy": 0.7,
        "samples_changed_over_copy": 1.2,
        "samples_new_over_bulk": 5.0,
        "samples_changed_over_bulk": 6.0,
        "samples_year_hours_over_fly": 0.2,
    }
    assert [promise.is_kept for promise in promises(good)] == [True] * 5
    bad = dict(zip(good, (0.69, 0.69, 4.9, 4.9, 0.21), strict=True))
    assert [promise.is_kept for promise in promises(bad)] == [False] * 5
