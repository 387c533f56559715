//! One suite for every backend: what a store promises, each promise a named test.
//!
//! A backend brings a [`Factory`] and calls `store_conformance!` in its tests, which makes one test of each case. A store method exists only with a case here. The cases know nothing of a backend: they open
//! it, speak through the traits, drop it and open it again.
//!
//! Start reading at [`fixtures`], then `accept`.

pub mod accept;
pub mod digests;
pub mod directory;
pub mod fan_out;
pub mod filters;
pub mod fixtures;
pub mod idempotency;
pub mod inbox;
pub mod journal;
pub mod lists;
pub mod redrives;
pub mod retention;
pub mod settle;
pub mod slices;
pub mod stats;
pub mod tenants;

use std::future::Future;

use crate::Store;
use crate::queue::Feed;

/// One database of a backend, empty at first. Its segments of history should hold [`SEGMENT_ROWS`], so that the cases
/// cross their borders.
pub trait Factory {
    type Store: Store;

    /// Opens the database; again after the store was dropped.
    fn open(&self, feed: Feed) -> impl Future<Output = Self::Store>;

    /// Runs a case to its end.
    fn block_on<T>(&self, case: impl Future<Output = T>) -> T;
}

/// History rows in a segment of a store under test.
pub const SEGMENT_ROWS: u64 = 4;

/// Makes the tests of a backend out of the list of cases below; the backend names its
/// [`Factory`] by an expression that makes one.
macro_rules! cases {
    ($dollar:tt $($module:ident { $($case:ident,)+ })+) => {
        /// Makes one test of each case of the suite, for the backend of the factory.
        #[cfg(test)]
        macro_rules! store_conformance {
            ($dollar factory:expr) => {
                $(mod $module {
                    $(
                        #[test]
                        fn $case() {
                            use crate::conformance::{Factory as _, fixtures::World, $module};
                            let factory = $dollar factory;
                            factory.block_on(async { $module::$case(World::open(&factory).await).await });
                        }
                    )+
                })+
            };
        }

        #[cfg(test)]
        const CASES: &[(&str, &[&str])] = &[$((stringify!($module), &[$(stringify!($case)),+])),+];
    };
}

cases! { $
    accept {
        an_event_is_kept_as_it_came,
        the_place_in_a_trace_is_kept,
        ids_ascend_in_order_of_commit,
        arrivals_are_announced_before_the_answer_in_order_of_id,
        a_request_is_kept_whole_or_not_at_all,
        explicit_channels_are_kept,
        verdicts_are_kept_up_to_their_bound,
        events_without_deliveries_are_kept,
    }
    idempotency {
        a_header_key_covers_the_array,
        field_keys_cover_single_events,
        repeats_and_new_events_mix,
        a_key_may_come_twice_in_one_request,
        a_reused_key_keeps_nothing,
        keys_belong_to_a_tenant,
        one_request_may_hold_events_of_several_tenants,
        keys_are_forgotten_after_a_day,
        keys_outlive_the_turn_of_the_tables,
        keys_outlive_a_clock_that_goes_back,
    }
    fan_out {
        a_large_fan_out_is_expanded_in_slices,
        a_reopen_in_the_middle_loses_and_doubles_nothing,
        several_fan_outs_are_expanded_in_turn,
        a_repeat_tells_what_is_still_expanding,
    }
    settle {
        a_delivery_settles_into_each_final_state,
        a_delivery_that_waits_comes_back,
        settling_twice_is_ignored,
        a_delivery_that_no_longer_waits_is_not_settled,
        every_record_becomes_an_attempt,
        the_attempt_that_a_delivery_was_given_up_with_says_so,
        what_waits_is_read_in_order,
        what_waits_is_read_from_the_newest_down,
        the_code_of_a_reason_is_kept,
        these_are_read_as_far_as_they_wait,
        channels_that_wait_are_listed,
        a_dead_delivery_is_retried_with_a_fresh_budget,
        a_waiting_delivery_is_due_at_once_with_a_fresh_budget,
        what_is_over_cannot_be_retried,
    }
    slices {
        a_cancellation_is_carried_out_in_slices,
        what_is_under_way_is_not_cancelled,
        a_cancellation_survives_a_reopen,
        a_newer_cancellation_widens_the_older,
        what_is_over_expires_in_slices,
        a_long_lived_delivery_in_front_blocks_nothing,
        what_is_under_way_does_not_expire,
        what_is_held_beyond_the_count_expires_oldest_first,
        what_is_held_for_too_long_expires,
    }
    digests {
        a_sealed_digest_is_read_with_what_it_sends,
        a_digest_is_sealed_whole_or_not_at_all,
        a_digest_settles_together,
        a_digest_is_retried_together,
        a_digest_ends_together,
    }
    directory {
        a_tenant_is_made_once_and_renamed,
        the_providers_of_a_tenant_are_kept,
        the_quotas_of_a_tenant_are_kept,
        keys_are_made_and_revoked,
        a_secret_is_in_use_once,
        a_channel_keeps_its_settings,
        the_shard_is_derived_or_taken,
        a_change_replaces_settings_and_routes,
        past_subscriptions_stay_known,
        a_deleted_channel_is_gone_and_what_waits_is_cancelled,
        a_pause_lasts_until_it_is_resumed,
        a_trip_lasts_until_it_is_over_or_the_channel_changes,
        a_config_is_replaced_only_where_it_is_as_before,
        every_change_raises_the_version,
        tenants_do_not_see_each_other,
        the_directory_survives_a_reopen,
        subscriptions_come_and_go_one_by_one,
        event_types_are_described_and_forgotten,
        settings_of_a_dialect_are_kept_with_the_channels_that_they_steer,
    }
    journal {
        deliveries_of_an_event_are_paged,
        attempts_are_paged_and_filtered,
        tenants_do_not_see_each_other,
        history_survives_a_reopen,
    }
    lists {
        a_list_merges_what_waits_what_is_dead_and_what_settled,
        a_list_of_one_state_has_that_state_only,
        settled_segments_that_overlap_are_merged,
    }
    filters {
        deliveries_pass_every_filter,
        attempts_pass_every_filter,
        attempts_are_paged_by_number,
        events_are_listed_newest_first,
        a_page_ends_when_enough_was_examined,
        cursors_hold_while_rows_arrive_and_move,
        a_wide_event_lists_its_own,
    }
    redrives {
        an_order_is_kept_and_steered,
        a_tenant_has_so_many_open_orders,
        dead_letters_are_looked_at_in_order,
        a_digest_of_dead_letters_comes_back_whole,
        past_events_are_looked_at_with_how_they_were_delivered,
        a_slice_of_dead_letters_waits_again,
        a_slice_of_events_is_delivered_anew,
        a_slice_that_comes_twice_changes_nothing,
        an_order_that_does_not_run_takes_nothing,
        an_order_survives_a_reopen,
    }
    retention {
        old_history_goes_and_young_history_stays,
        each_kind_has_its_own_time,
        what_waits_or_is_dead_keeps_its_event,
        a_fan_out_in_the_making_keeps_its_event,
        entries_sums_and_orders_go_with_time,
        an_inbox_keeps_its_newest_entries,
        a_deleted_channel_is_forgotten_when_nothing_speaks_of_it,
    }
    inbox {
        an_entry_comes_with_its_settlement_once,
        inboxes_are_listed_in_pages,
        entries_are_marked_read,
    }
    stats {
        sums_follow_every_move,
        totals_are_of_every_channel_with_any,
        sums_begin_at_a_quarter_of_an_hour,
        sums_agree_with_the_lists,
        sums_are_narrowed_to_a_channel_or_a_type,
        sums_are_told_by_channel,
    }
    tenants {
        a_suspension_is_kept_until_it_ends,
        a_deleted_tenant_is_gone_at_once,
        a_deleted_tenant_is_erased_and_others_are_not,
        what_comes_late_for_a_deleted_tenant_is_nothing,
        erasing_goes_on_after_a_reopen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case that nobody lists would never run.
    #[test]
    fn every_case_is_listed() {
        let sources = [
            ("accept", include_str!("accept.rs")),
            ("idempotency", include_str!("idempotency.rs")),
            ("fan_out", include_str!("fan_out.rs")),
            ("settle", include_str!("settle.rs")),
            ("slices", include_str!("slices.rs")),
            ("digests", include_str!("digests.rs")),
            ("directory", include_str!("directory.rs")),
            ("journal", include_str!("journal.rs")),
            ("lists", include_str!("lists.rs")),
            ("filters", include_str!("filters.rs")),
            ("redrives", include_str!("redrives.rs")),
            ("retention", include_str!("retention.rs")),
            ("inbox", include_str!("inbox.rs")),
            ("stats", include_str!("stats.rs")),
            ("tenants", include_str!("tenants.rs")),
        ];
        let written = sources.map(|(module, source)| {
            let names = source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('<').next());
            (module, names.collect::<Vec<_>>())
        });
        let listed: Vec<_> = CASES.iter().map(|(module, cases)| (*module, cases.to_vec())).collect();
        assert_eq!(listed, written);
    }

    /// A store method exists only with a case that calls it.
    #[test]
    fn every_method_has_a_case() {
        let suite = [
            include_str!("accept.rs"),
            include_str!("digests.rs"),
            include_str!("directory.rs"),
            include_str!("fan_out.rs"),
            include_str!("filters.rs"),
            include_str!("fixtures.rs"),
            include_str!("inbox.rs"),
            include_str!("journal.rs"),
            include_str!("lists.rs"),
            include_str!("redrives.rs"),
            include_str!("retention.rs"),
            include_str!("settle.rs"),
            include_str!("slices.rs"),
            include_str!("stats.rs"),
            include_str!("tenants.rs"),
        ]
        .concat();
        for source in [
            include_str!("../queue.rs"),
            include_str!("../directory.rs"),
            include_str!("../journal.rs"),
            include_str!("../inbox.rs"),
            include_str!("../redrives.rs"),
            include_str!("../retention.rs"),
        ] {
            let methods = source.lines().filter_map(|line| line.strip_prefix("    async fn ")?.split('(').next());
            for method in methods {
                assert!(suite.contains(&format!(".{method}(")), "no case calls {method}");
            }
        }
    }
}
