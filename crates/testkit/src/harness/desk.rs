//! People who work with a CRM: their actions in the browser, and their views.

use async_trait::async_trait;
use casebridge::cases::{Placement, Visibility};
use casebridge::entities::{Priority, PriorityReading};
use casebridge::sandbox::faults::Faults;
use casebridge::sync::CompanyConditions;

/// People who work with a CRM. Cases, comments and files are named by the IDs that the adapter uses.
#[async_trait]
pub trait Desk: Send + Sync {
    // ------------------------------------------------------------ actions of people

    /// Opens a case; returns its ID.
    async fn opens(&self, case: NewCompanyCase) -> String;

    /// Writes a comment as Jane Roe; returns its ID.
    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String;

    /// True if comments of the same second keep their order. If not, no two may be written in the same second.
    fn keeps_order_within_a_second(&self) -> bool {
        true
    }

    /// Attaches a file as Jane Roe, without a text; returns its ID. `visibility` matters if files belong to comments.
    async fn attaches(
        &self,
        case: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        visibility: Visibility,
    ) -> String;

    /// Sets or clears the flag of a case.
    async fn flags(&self, case: &str, on: bool);

    /// Sets the priority.
    async fn sets_priority(&self, case: &str, priority: Priority);

    /// Changes the title.
    async fn retitles(&self, case: &str, title: &str);

    /// Closes a case, as done.
    async fn closes(&self, case: &str);

    /// Closes a case in another way that the CRM has: cancelled, rejected, or sealed.
    async fn abandons(&self, case: &str);

    /// Reopens a closed case.
    async fn reopens(&self, case: &str);

    /// Makes sure that a closed case cannot be reopened, for [`super::crm::Setup::closing_is_final`].
    async fn seals(&self, case: &str);

    /// Sets or clears the Google case's name on a case.
    async fn sets_google_name(&self, case: &str, name: Option<&str>);

    /// Deletes a case.
    async fn deletes(&self, case: &str);

    /// Hides a case from the connector, or shows it again. Needs [`super::crm::Need::Hiding`].
    async fn hides(&self, case: &str, hidden: bool);

    /// Edits a comment, and makes its new text public or internal. Needs [`super::crm::Need::EditingComments`].
    async fn edits_comment(&self, case: &str, comment: &str, text: &str, visibility: Visibility) {
        panic!("comment {comment} of case {case} cannot become {visibility:?}: {text}");
    }

    /// Deletes a comment. Needs [`super::crm::Need::DeletingComments`].
    async fn deletes_comment(&self, case: &str, comment: &str);

    /// Deletes a file. Needs [`super::crm::Need::DeletingFiles`].
    async fn deletes_file(&self, case: &str, file: &str);

    // ------------------------------------------------------------ views of people

    /// Returns a case; `None` if there is none with that ID.
    async fn case(&self, id: &str) -> Option<CaseView>;

    /// Returns all cases, oldest first.
    async fn cases(&self) -> Vec<CaseView>;

    /// Returns a file's content.
    async fn content(&self, file: &str) -> Option<Vec<u8>>;

    /// Returns the pieces of the connector's texts on the case that the CRM would not show as written, except addresses shown as links.
    async fn interpreted(&self, case: &str) -> Vec<String>;

    // ------------------------------------------------------------ whose turn it is

    /// Sets the status of an open case, as a person, by its name in [`Turns`](super::crm::Turns).
    async fn sets_status(&self, case: &str, status: &str);

    /// Returns the name of a case's status, as in [`Turns`](super::crm::Turns).
    async fn status(&self, case: &str) -> String;

    /// Returns the text in the field for Google's state; empty if there is none.
    async fn state_text(&self, case: &str) -> String;

    // ------------------------------------------------------------ places

    /// Returns an example of values that a route can set in this CRM.
    fn placement(&self) -> Placement;

    /// Returns placements with a value that is not there, each with words of the right one that a check has to name.
    fn misplaced(&self) -> Vec<(Placement, &'static str)>;

    /// Returns those values of a case that [`Desk::placement`] has.
    async fn placed(&self, case: &str) -> Placement;

    /// Returns an example of conditions on a company case that routes can have in this CRM.
    fn conditions(&self) -> CompanyConditions;

    /// Makes a case meet [`Desk::conditions`].
    async fn marks(&self, case: &str);

    /// Returns conditions and fields that are not there, each with words of what a check has to tell.
    fn misnamed(&self) -> Vec<(CompanyConditions, &'static str)>;

    /// Returns the name of a text field that every case has.
    async fn text_field(&self) -> String;

    /// Sets the field of [`Desk::text_field`].
    async fn writes_field(&self, case: &str, text: &str);

    /// Lets a person with this address follow a case, or not any more.
    async fn follows(&self, case: &str, address: &str, on: bool);

    // ------------------------------------------------------------ things that are shown

    /// Returns the links to Google cases that a case shows. Needs [`super::crm::Need::RemoteLinks`].
    async fn links(&self, _case: &str) -> Vec<ShownLink> {
        panic!("a scenario that does this needs RemoteLinks");
    }

    /// Returns the labels of a case. Needs [`super::crm::Need::Labels`].
    async fn labels(&self, _case: &str) -> Vec<String> {
        panic!("a scenario that does this needs Labels");
    }

    /// Adds a label as a person, or removes it. Needs [`super::crm::Need::Labels`].
    async fn relabels(&self, _case: &str, _label: &str, _on: bool) {
        panic!("a scenario that does this needs Labels");
    }

    /// Returns the mark of a comment that was carried. Needs [`super::crm::Need::Marks`].
    async fn carried_mark(&self, _case: &str, _comment: &str) -> Option<String> {
        panic!("a scenario that does this needs Marks");
    }

    // ------------------------------------------------------------ trouble

    /// Returns the CRM's faults; `None` if faults cannot be injected.
    fn faults(&self) -> Option<&Faults>;

    /// Returns the method and a part of the path of the requests that perform this call.
    fn calls(&self, call: Call) -> (&'static str, &'static str);
}

/// Call of the connector to a CRM, as a target of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Create,
    Comment,
    Attach,
    Close,
    Search,
    /// Download of a file's content.
    Download,
    /// Link to a Google case.
    Link,
    /// Change of a label.
    Label,
    /// Mark on a comment.
    Mark,
}

/// Link to a Google case as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownLink {
    /// Address or name that it leads to.
    pub target: String,
    /// Words that it shows, if they have the Google case's title in them.
    pub title: Option<String>,
    /// True if it shows that the Google case is closed.
    pub closed: bool,
}

/// Input for a case that a person opens.
#[derive(Debug, Clone)]
pub struct NewCompanyCase {
    pub title: String,
    pub description: String,
    pub priority: Priority,
    pub flagged: bool,
    /// Google case's name that a person typed, or that came with a cloned case.
    pub google_name: Option<String>,
}

impl NewCompanyCase {
    /// Returns a case of priority P2, without the flag.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            description: format!("About: {title}"),
            priority: Priority::P2,
            flagged: false,
            google_name: None,
        }
    }

    /// Returns the same as [`NewCompanyCase::new`], with the flag on.
    pub fn flagged(title: &str) -> Self {
        Self { flagged: true, ..Self::new(title) }
    }
}

/// Case as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseView {
    pub id: String,
    pub title: String,
    pub description: String,
    pub priority: PriorityReading,
    /// State, in the CRM's own word.
    pub state: String,
    pub closed: bool,
    pub flagged: bool,
    pub google_name: Option<String>,
    /// Comments, oldest first, without the description and without comments that only carry a file.
    pub comments: Vec<CommentView>,
    /// Files, oldest first.
    pub files: Vec<FileView>,
}

impl CaseView {
    /// Returns the comments' texts, oldest first.
    pub fn texts(&self) -> Vec<String> {
        self.comments.iter().map(|comment| comment.text.clone()).collect()
    }

    /// Returns the file with that name.
    pub fn file(&self, name: &str) -> &FileView {
        let found = self.files.iter().find(|file| file.name == name);
        found.unwrap_or_else(|| panic!("there is no file {name}: {self:#?}"))
    }

    /// Returns the files that the connector copied.
    pub fn copied_files(&self) -> Vec<&FileView> {
        self.files.iter().filter(|file| file.by_connector).collect()
    }

    /// Reports if this level is among the levels that the priority may stand for.
    pub fn has_priority(&self, priority: Priority) -> bool {
        match &self.priority {
            PriorityReading::Known(set) => set.contains(priority),
            PriorityReading::Unknown(_) | PriorityReading::Unset => false,
        }
    }
}

/// Comment as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentView {
    pub id: String,
    pub text: String,
    pub visibility: Visibility,
    pub by_connector: bool,
}

/// File as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileView {
    pub id: String,
    pub name: String,
    /// Visibility; for a file on a comment, that of the comment.
    pub visibility: Visibility,
    pub by_connector: bool,
}
