//! The main job, thing by thing: what people do on one side arrives on the other, once, and nothing else happens. Over real
//! HTTP on loopback, with the real binary's parts.
//!
//! One table of scenarios, `scenarios!`, for every CRM: [`main_job_over!`] makes one test of each for one CRM. A scenario knows
//! no kind of CRM; what differs is in the CRM's [`Description`], and what a scenario cannot do
//! without stands beside it in the table. [`matrix`] prints which runs where, and why not.

pub mod content;
pub mod creation;
pub mod credentials;
pub mod desk;
pub mod edits;
pub mod escalation;
pub mod feed;
pub mod leaving;
pub mod linking;
pub mod outages;
pub mod placing;
pub mod privacy;
pub mod shown;
pub mod silence;
pub mod titles;
pub mod travel;
pub mod turn;

use std::pin::Pin;

use crate::harness::crm::{Description, Need};

pub use crate::{main_job_over, played_of, tests_of, what_travels};

/// Makes a future on the heap. Without optimisation, the stack of a function has a place for each future that it makes, and the scenarios
/// together are larger than a stack.
#[doc(hidden)]
pub fn on_the_heap<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

/// The table: hands the scenarios, each with its module and its needs, to a macro, behind what that macro is to be told.
#[doc(hidden)]
#[macro_export]
macro_rules! scenarios {
    ($then:ident!($($told:tt)*)) => {
        $then! { ($($told)*)
            travel::a_google_case_is_created_in_the_crm_with_the_documented_fields_and_texts [];
            travel::a_flagged_company_case_is_created_at_google_with_the_documented_texts_and_an_unflagged_one_is_not [];
            travel::comments_travel_both_ways_in_order_and_none_comes_back [];
            travel::attachments_travel_both_ways_byte_for_byte [];
            travel::a_changed_priority_follows_and_of_two_the_more_urgent_wins [];
            travel::a_case_closed_at_google_is_closed_in_the_crm_and_a_reopened_one_is_reopened [];
            travel::a_company_case_that_is_done_closes_its_google_case_and_a_reopened_one_is_told_once_that_google_cannot_follow [];
            travel::many_syncs_of_one_case_at_the_same_moment_double_nothing [];
            travel::while_the_flag_is_away_nothing_is_carried_and_when_it_is_back_nothing_is_missing [];
            travel::a_clone_does_not_take_its_originals_google_case [];
            travel::a_name_that_is_taken_back_right_after_it_was_read_is_no_conflict_any_more [];
            travel::each_of_the_things_can_be_switched_off [];
            creation::a_creation_whose_answer_was_lost_leaves_one_counterpart_on_either_side [Faults, ClockInHand];
            creation::an_earlier_claim_does_not_hide_a_creation_whose_answer_was_lost [Faults, ClockInHand];
            creation::a_creation_whose_answer_was_lost_is_found_though_the_search_is_late [Faults, ClockInHand];
            creation::an_answer_that_comes_after_the_timeout_doubles_nothing [Faults, Setups, ClockInHand];
            creation::both_polls_meeting_a_half_linked_pair_make_one_mapping_and_no_second_counterpart [Faults, ClockInHand];
            creation::two_instances_on_one_database_double_nothing [];
            creation::a_case_is_one_case_by_its_number_whatever_parent_its_name_has [];
            creation::a_case_that_cannot_be_understood_does_not_stop_the_sweep [ClockInHand];
            creation::a_poll_that_dies_half_way_is_repeated_and_misses_nothing [Faults, ClockInHand];
            creation::a_company_case_flagged_later_gets_its_case_with_all_that_was_said_before [];
            content::a_comment_of_40_000_characters_arrives_whole_in_numbered_parts [];
            content::texts_of_40_000_characters_and_of_a_megabyte_arrive_whole_on_either_side [];
            content::a_long_description_goes_on_in_numbered_comments_on_either_side [];
            content::files_of_any_name_arrive_byte_for_byte_under_a_name_a_person_can_follow [];
            content::titles_descriptions_and_authors_cannot_inject_anything [];
            content::ugly_content_arrives_readable_and_nothing_of_it_is_interpreted [];
            content::lone_surrogates_in_an_answer_arrive_as_replacement_characters [ClockInHand];
            content::a_comment_or_a_file_whose_answer_was_lost_arrives_once [Faults, ClockInHand];
            content::more_comments_than_a_task_has_time_for_arrive_without_a_failure [Faults, ClockInHand];
            content::content_that_arrives_short_is_no_upload_and_is_tried_again [Faults, ClockInHand];
            content::an_attachment_that_the_crm_can_never_take_becomes_one_comment [Setups];
            content::what_google_refuses_becomes_one_comment_there [];
            content::a_comment_that_quotes_a_marker_is_carried [];
            content::a_copy_that_was_deleted_in_the_crm_is_not_made_again [DeletingComments, ClockInHand];
            content::files_deleted_by_hand_are_not_made_again_on_either_side [DeletingFiles, ClockInHand];
            privacy::what_is_internal_goes_to_google_only_if_configured_and_googles_arrive_as_configured [InternalComments];
            privacy::where_comments_are_marked_only_internal_ones_with_the_mark_go_to_google [InternalComments];
            privacy::unless_configured_otherwise_nothing_that_the_connector_writes_is_public [InternalComments];
            leaving::a_case_reopened_at_google_whose_company_case_cannot_be_reopened_is_no_ping_pong [Setups, ClockInHand];
            leaving::a_pair_closed_on_both_sides_at_once_is_only_noted [];
            leaving::a_closing_whose_answer_was_lost_is_repeated_and_done_once [Faults, ClockInHand];
            leaving::a_counterpart_that_was_deleted_ends_the_pair_with_one_comment [ClockInHand];
            leaving::a_google_case_that_is_gone_ends_the_pair_with_one_comment_in_the_crm [ClockInHand];
            leaving::cleanup_takes_a_mapping_thirty_days_after_its_case_was_resolved_and_no_sooner [ClockInHand];
            leaving::after_cleanup_an_update_of_the_old_case_doubles_nothing [ClockInHand];
            leaving::a_company_case_hidden_for_a_moment_after_linking_does_not_end_the_pair [Hiding, ClockInHand];
            linking::two_cases_that_people_opened_apart_become_one_pair_by_an_operators_order [];
            linking::a_pair_whose_mapping_was_lost_is_linked_again_and_nothing_is_doubled [];
            outages::a_crm_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side [Faults, ClockInHand];
            outages::google_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side [ClockInHand];
            outages::each_of_the_four_comments_is_tried_on_its_own [Faults, ClockInHand];
            outages::an_outage_comment_whose_answer_was_lost_stands_once_and_is_never_carried [Faults, ClockInHand];
            outages::what_waits_for_a_lost_answer_is_carried_when_its_window_ends [Faults, ClockInHand];
            outages::a_sync_that_fails_while_both_polls_succeed_is_an_outage_until_it_has_carried_everything [Faults, ClockInHand];
            outages::the_error_of_a_failing_poll_and_of_a_failing_sync_says_what_to_do [Faults, ClockInHand];
            outages::an_idle_pair_is_written_to_by_nobody_and_yet_counts_as_synced [ClockInHand];
            outages::a_case_that_never_gets_its_counterpart_is_an_outage_told_on_the_side_that_exists [Faults, ClockInHand];
            silence::a_right_that_was_taken_is_an_outage_and_nothing_is_missed_when_it_is_back [Hiding, ClockInHand];
            silence::what_the_index_hid_for_longer_than_the_window_is_carried_within_the_hour [Faults, ClockInHand];
            silence::a_case_that_is_not_found_for_a_while_is_missing_and_nobody_is_told [Hiding, ClockInHand];
            silence::a_pair_that_ended_goes_on_when_its_case_is_back_and_misses_nothing [Hiding, ClockInHand];
            silence::several_cases_that_go_missing_together_end_no_pair [Hiding, ClockInHand];
            silence::a_pair_that_is_found_again_lowers_no_priority_and_closes_nothing [];
            silence::what_a_person_corrects_on_a_new_case_before_its_pair_is_read_is_carried [];
            silence::what_a_person_corrects_while_the_answer_of_a_creation_is_lost_is_carried [ClockInHand];
            silence::a_google_case_without_a_known_priority_keeps_what_it_has_and_the_crm_its_default [ClockInHand];
            silence::a_case_that_names_a_google_case_is_no_proof_and_lowers_no_priority [ClockInHand];
            silence::two_desks_on_one_organisation_are_never_linked_and_never_mirrored_across [ClockInHand];
            silence::every_notice_at_google_names_the_company_case_with_its_key_and_its_address [Faults, Hiding, ClockInHand];
            silence::a_case_that_is_asked_for_by_what_people_call_it_is_mapped_by_its_id [];
            silence::a_company_case_that_was_not_solved_leaves_its_google_case_open_and_says_so_once [ClockInHand];
            silence::a_file_that_its_source_never_hands_out_is_explained_once_and_holds_up_nothing [Faults, ClockInHand];
            silence::a_lost_upload_waits_for_a_file_that_cannot_be_compared_and_holds_up_nothing_else [Faults, ClockInHand];
            silence::a_case_that_takes_no_comments_still_takes_a_file_a_priority_and_its_closing [Faults, ClockInHand];
            silence::clocks_that_are_apart_hide_nothing [Faults, ClockInHand];
            silence::a_clock_of_ours_that_jumps_hides_nothing [Faults, ClockInHand];
            silence::an_idle_minute_costs_two_calls_on_the_mean_and_three_at_most [Faults, ClockInHand];
            desk::a_dry_run_of_a_poll_lists_what_would_be_created_linked_and_written_and_writes_nothing [];
            desk::a_dry_run_of_the_other_tasks_tells_what_they_would_do_and_writes_nothing [Faults, ClockInHand];
            desk::a_case_that_is_closed_when_it_is_first_seen_is_left_alone_until_it_is_reopened [];
            desk::with_since_only_cases_that_change_after_it_are_taken_in [ClockInHand];
            desk::a_case_is_asked_for_by_key_id_or_address_and_one_of_another_host_is_refused [];
            desk::a_google_case_that_a_route_leaves_out_gets_no_company_case_and_a_pair_that_exists_goes_on [];
            desk::a_first_start_among_200_google_cases_does_what_its_dry_run_has_shown [ClockInHand];
            desk::a_route_decides_where_a_company_case_belongs_when_it_is_created_and_never_again [];
            desk::the_check_names_a_value_of_a_route_that_is_not_there_with_those_that_are [];
            turn::googles_state_becomes_the_cases_status_once_and_what_people_set_stays [];
            turn::a_new_case_gets_the_status_for_googles_state_with_its_first_sync_and_never_again [];
            turn::a_new_cases_status_is_set_though_the_answer_of_its_creation_was_lost [Faults, ClockInHand];
            turn::a_status_whose_answer_was_lost_is_found_and_one_that_was_lost_itself_is_set [Faults, ClockInHand];
            turn::the_state_stands_in_words_in_a_field_with_escalation [];
            turn::the_check_names_a_status_that_is_not_there_with_those_that_are [];
            escalation::a_raised_company_case_escalates_its_google_case_once_and_again_only_when_it_is_raised_again [];
            escalation::what_an_escalation_lacks_and_what_google_refuses_is_told_once [];
            escalation::an_escalation_whose_answer_was_lost_is_made_once [ClockInHand];
            titles::a_changed_title_follows_both_ways_and_of_two_the_companys_wins [];
            titles::a_title_is_carried_whichever_read_of_the_google_case_finds_nothing [Faults, ClockInHand];
            titles::a_title_that_is_cut_for_the_crm_is_not_carried_back [];
            titles::a_title_whose_answer_was_lost_is_set_once [ClockInHand];
            feed::a_reply_by_email_arrives_once_and_in_order_with_the_comments [];
            feed::an_email_that_google_shows_as_a_comment_too_arrives_once [];
            feed::a_reply_by_email_whose_copy_got_no_answer_arrives_once [Faults, ClockInHand];
            feed::without_the_feed_no_reply_by_email_arrives_and_the_beta_api_is_not_asked [];
            feed::a_feed_that_google_does_not_show_is_an_error_that_says_what_to_do_and_loses_nothing [ClockInHand];
            shown::a_company_case_has_one_link_to_its_google_case_whatever_is_synced_again [RemoteLinks];
            shown::a_link_whose_answer_was_lost_stands_once [RemoteLinks, Faults, ClockInHand];
            shown::the_label_of_an_escalated_case_comes_and_goes_and_one_that_people_remove_stays_away [Labels];
            shown::a_label_whose_answer_was_lost_is_there_once_google_escalates_and_gone_once_it_does_not [Labels, Faults, ClockInHand];
            shown::a_marked_note_that_was_carried_says_so_where_programs_can_read_it [Marks];
            shown::a_mark_whose_answer_was_lost_is_set_and_its_note_is_carried_once [Marks, Faults, ClockInHand];
            edits::an_edited_comment_is_followed_by_one_note_at_most_each_ten_minutes_and_the_last_text_arrives [EditingComments, ClockInHand];
            edits::a_note_about_an_edit_whose_answer_was_lost_stands_once [EditingComments, ClockInHand];
            edits::an_edit_that_makes_a_comment_internal_or_takes_its_mark_leaks_nothing [EditingComments, InternalComments, ClockInHand];
            placing::a_company_cases_route_decides_its_google_project_classification_and_language_once [];
            placing::a_field_of_a_company_case_names_its_google_project_and_a_wrong_one_is_told_once [];
            placing::a_routed_creation_whose_answer_was_lost_is_found_in_its_project_and_repeated_as_it_was_decided [ClockInHand];
            placing::subscribers_follow_and_only_of_the_domains_that_may_leave [];
            placing::subscribers_are_set_whichever_read_of_the_case_finds_nothing [Faults, ClockInHand];
            placing::subscribers_whose_answer_was_lost_are_set_once_and_known_as_the_connectors [ClockInHand];
            placing::the_check_names_what_a_route_to_google_has_wrong_on_either_side [];
            credentials::comments_and_files_arrive_across_three_expiries_of_the_access_token [ExpiringTokens];
        }
    };
}

/// Makes one test of each scenario that this CRM can play: `main_job_over!(&CRM)`.
#[macro_export]
macro_rules! main_job_over {
    ($crm:expr) => {
        $crate::scenarios! { tests_of!($crm) }
    };
}

/// Plays what travels, one scenario after the other, over one CRM: `what_travels!(crm)`. It is the part of the table that is about cases
/// and their content, and that needs no faults. With `CASEBRIDGE_WHOLE_TABLE` in the environment it plays the whole table, which would
/// cost CI more than two minutes for each CRM, mostly by passing days.
#[macro_export]
macro_rules! what_travels {
    ($crm:expr) => {
        $crate::scenarios! { played_of!($crm) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! played_of {
    (($crm:expr) $($module:ident::$name:ident [$($need:ident),*];)*) => {{
        let crm: &dyn $crate::harness::crm::Crm = $crm;
        let description = crm.description().await;
        let whole = std::env::var_os("CASEBRIDGE_WHOLE_TABLE").is_some();
        let mut played = 0;
        $(
            let needs: &[$crate::harness::crm::Need] = &[$($crate::harness::crm::Need::$need),*];
            let travels = matches!(stringify!($module), "travel" | "creation" | "content" | "privacy")
                && !needs.contains(&$crate::harness::crm::Need::Faults);
            if (whole || travels) && description.lacks_any(needs).is_empty() {
                println!("{}", stringify!($name));
                $crate::main_job::on_the_heap(|| $crate::main_job::$module::$name(crm)).await;
                played += 1;
            }
        )*
        played
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! tests_of {
    (($crm:expr) $($module:ident::$name:ident [$($need:ident),*];)*) => {$(
        #[tokio::test]
        async fn $name() {
            let crm: &dyn $crate::harness::crm::Crm = $crm;
            let description = crm.description().await;
            let lacks = description.lacks_any(&[$($crate::harness::crm::Need::$need),*]);
            if lacks.is_empty() {
                $crate::main_job::$module::$name(crm).await;
            } else {
                // docs/crm-matrix.md says so too, and a test holds it to that.
                println!("does not apply to {}: {}", description.name, lacks.join(", "));
            }
        }
    )*};
}

macro_rules! rows_of {
    (() $($module:ident::$name:ident [$($need:ident),*];)*) => {
        &[$(Scenario {
            module: stringify!($module),
            name: stringify!($name),
            needs: &[$(Need::$need),*],
        }),*]
    };
}

/// A row of the table.
pub struct Scenario {
    module: &'static str,
    name: &'static str,
    needs: &'static [Need],
}

/// The table as data.
pub const TABLE: &[Scenario] = scenarios!(rows_of!());

/// Which scenario runs over which of these CRMs, and why not, as a page of Markdown.
pub fn matrix(crms: &[Description]) -> String {
    use std::fmt::Write as _;
    let mut page = String::new();
    let cell = |scenario: &Scenario, crm: &Description| match crm.lacks_any(scenario.needs).as_slice() {
        [] => "runs".to_owned(),
        reasons => format!("no: {}", reasons.join("; ")),
    };
    let mut module = "";
    for scenario in TABLE {
        if scenario.module != module {
            module = scenario.module;
            let names: Vec<&str> = crms.iter().map(|crm| crm.name).collect();
            write!(page, "\n## {module}\n\n| scenario | {} |\n", names.join(" | ")).unwrap();
            writeln!(page, "| --- |{}", " --- |".repeat(crms.len())).unwrap();
        }
        let cells: Vec<String> = crms.iter().map(|crm| cell(scenario, crm)).collect();
        writeln!(page, "| {} | {} |", scenario.name.replace('_', " "), cells.join(" | ")).unwrap();
    }
    page
}
