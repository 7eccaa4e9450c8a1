//! The main job's table with what App Engine has: a database on Google Cloud and the platform's task queue, in place of SQLite and
//! the embedded queue. One CRM is enough: no scenario knows where its mappings are kept.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::clock::SharedClock;

use crate::backend::GoogleCloud;
use crate::emulator::Kind;
use casebridge_testkit::harness::backend::Backend;
use casebridge_testkit::harness::crm::{Company, Crm, Description, Setup};
use casebridge_testkit::harness::jira::JiraKind;

mod firestore {
    use super::{JiraOn, Kind};
    use casebridge_testkit::main_job::{main_job_over, tests_of};

    main_job_over!(&JiraOn(Kind::FirestoreNative));
}

/// What a mode of the database can have a say in: what happens at the same moment, what is unique, what is deleted, what is written
/// although nobody hears of it. The rest is the same code over the same promises, which `crates/testkit/src/contract/store.rs` holds.
mod datastore_mode {
    use super::{JiraOn, Kind};
    use casebridge_testkit::main_job::{content, creation, leaving, outages, travel};

    macro_rules! tests_of {
        ($($module:ident::$name:ident)*) => {$(
            #[tokio::test]
            async fn $name() {
                $module::$name(&JiraOn(Kind::FirestoreDatastoreMode)).await;
            }
        )*};
    }

    tests_of! {
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
