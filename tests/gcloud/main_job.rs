//! A part of the main job's table with what App Engine has: a database on Google Cloud and the platform's task queue, in place of SQLite and
//! the embedded queue. One CRM is enough: no scenario knows where its mappings are kept. The whole table would cost CI half an hour of
//! emulators.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::SharedClock;

use crate::backend::GoogleCloud;
use crate::emulator::Kind;
use casebridge_testkit::harness::backend::Backend;
use casebridge_testkit::harness::crm::{Company, Crm, Description, Setup};
use casebridge_testkit::harness::jira::JiraKind;

/// Makes one test of each scenario over a kind of database: those in which it has a say. They are about what happens at the same moment,
/// what is unique, what is deleted, what is written although nobody hears of it, and what a mapping remembers. The rest of the table is the
/// same code over the same promises, which `crates/testkit/src/contract/store.rs` holds in each of these databases.
macro_rules! tests_of {
    ($kind:expr; $($module:ident::$name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            casebridge_testkit::main_job::$module::$name(&super::JiraOn($kind)).await;
        }
    )*};
}

/// Scenarios for each mode of the database.
macro_rules! in_every_mode {
    ($kind:expr) => {
        tests_of! {
            $kind;
            travel::a_flagged_company_case_is_created_at_google_with_the_documented_texts_and_an_unflagged_one_is_not
            travel::comments_travel_both_ways_in_order_and_none_comes_back
            travel::attachments_travel_both_ways_byte_for_byte
            travel::a_changed_priority_follows_and_of_two_the_more_urgent_wins
            travel::a_case_closed_at_google_is_closed_in_the_crm_and_a_reopened_one_is_reopened
            travel::many_syncs_of_one_case_at_the_same_moment_double_nothing
            creation::a_creation_whose_answer_was_lost_leaves_one_counterpart_on_either_side
            creation::both_polls_meeting_a_half_linked_pair_make_one_mapping_and_no_second_counterpart
            creation::two_instances_on_one_database_double_nothing
            content::a_comment_or_a_file_whose_answer_was_lost_arrives_once
            leaving::cleanup_takes_a_mapping_thirty_days_after_its_case_was_resolved_and_no_sooner
            leaving::after_cleanup_an_update_of_the_old_case_doubles_nothing
            outages::each_of_the_four_comments_is_tried_on_its_own
        }
    };
}

mod firestore {
    use crate::emulator::Kind;

    in_every_mode!(Kind::FirestoreNative);

    tests_of! {
        Kind::FirestoreNative;
        travel::a_google_case_is_created_in_the_crm_with_the_documented_fields_and_texts
        content::more_comments_than_a_task_has_time_for_arrive_without_a_failure
        leaving::a_counterpart_that_was_deleted_ends_the_pair_with_one_comment
        outages::an_outage_comment_whose_answer_was_lost_stands_once_and_is_never_carried
        outages::an_idle_pair_is_written_to_by_nobody_and_yet_counts_as_synced
        silence::a_pair_that_is_found_again_lowers_no_priority_and_closes_nothing
        desk::a_dry_run_of_a_poll_lists_what_would_be_created_linked_and_written_and_writes_nothing
        turn::a_status_whose_answer_was_lost_is_found_and_one_that_was_lost_itself_is_set
        placing::a_routed_creation_whose_answer_was_lost_is_found_in_its_project_and_repeated_as_it_was_decided
        placing::subscribers_whose_answer_was_lost_are_set_once_and_known_as_the_connectors
        escalation::an_escalation_whose_answer_was_lost_is_made_once
    }
}

mod datastore_mode {
    use crate::emulator::Kind;

    in_every_mode!(Kind::FirestoreDatastoreMode);
}

/// The sandbox Jira, with a database of that kind and App Engine's queue beside it.
struct JiraOn(Kind);

#[async_trait]
impl Crm for JiraOn {
    async fn description(&self) -> Description {
        JiraKind.description().await
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        JiraKind.open(clock, setup).await
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(GoogleCloud::new(self.0)))
    }
}
