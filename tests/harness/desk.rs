//! The people's side of a CRM: what they do there in their browsers, and what they see.

use async_trait::async_trait;
use casebridge::cases::Visibility;
use casebridge::entities::{Priority, PriorityReading};
use casebridge::sandbox::faults::Faults;

/// The people who work with a CRM. Cases, comments and files are named by the IDs by which the adapter knows them.
#[async_trait]
pub(crate) trait Desk: Send + Sync {
    // ------------------------------------------------------------ what people do

    /// Makes a case; its ID.
    async fn opens(&self, case: NewCompanyCase) -> String;

    /// Jane Roe writes a comment; its ID.
    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String;

    /// Whether comments of one second keep the order in which they were written. Where they do not, no two are written in one.
    fn keeps_order_within_a_second(&self) -> bool {
        true
    }

    /// Jane Roe attaches a file, with no words to it; its ID. `visibility` counts where files hang on comments.
    async fn attaches(
        &self,
        case: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        visibility: Visibility,
    ) -> String;

    /// Puts the flag on a case or takes it off.
    async fn flags(&self, case: &str, on: bool);

    /// Sets the priority.
    async fn sets_priority(&self, case: &str, priority: Priority);

    /// Closes a case, as done.
    async fn closes(&self, case: &str);

    /// Closes a case in another of the CRM's ways: cancelled, rejected, or never to be opened again.
    async fn abandons(&self, case: &str);

    /// Opens a closed case again.
    async fn reopens(&self, case: &str);

    /// Sees to it that a closed case is never opened again, where [`super::crm::Setup::closing_is_final`].
    async fn seals(&self, case: &str);

    /// Writes the name of a Google case onto a case, or clears the field.
    async fn sets_google_name(&self, case: &str, name: Option<&str>);

    /// Deletes a case.
    async fn deletes(&self, case: &str);

    /// Hides a case from the connector, or shows it again. With [`super::crm::Need::Hiding`] only.
    async fn hides(&self, case: &str, hidden: bool);

    /// Deletes a comment. With [`super::crm::Need::DeletingComments`] only.
    async fn deletes_comment(&self, case: &str, comment: &str);

    /// Deletes a file. With [`super::crm::Need::DeletingFiles`] only.
    async fn deletes_file(&self, case: &str, file: &str);

    // ------------------------------------------------------------ what people see

    /// A case; `None` if there is none of that ID.
    async fn case(&self, id: &str) -> Option<CaseView>;

    /// All cases, oldest first.
    async fn cases(&self) -> Vec<CaseView>;

    /// A file's content.
    async fn content(&self, file: &str) -> Option<Vec<u8>>;

    /// What of the connector's texts on the case the CRM would not show as it was written, other than addresses as links.
    async fn interpreted(&self, case: &str) -> Vec<String>;

    // ------------------------------------------------------------ trouble

    /// The CRM's faults, if its answers can be spoiled.
    fn faults(&self) -> Option<&Faults>;

    /// The method and a part of the path of the calls that do this.
    fn calls(&self, call: Call) -> (&'static str, &'static str);
}

/// What the connector does in a CRM, for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Create,
    Comment,
    Attach,
    Close,
    Search,
    /// The content of a file.
    Download,
}

/// A case that a person makes.
#[derive(Debug, Clone)]
pub(crate) struct NewCompanyCase {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) priority: Priority,
    pub(crate) flagged: bool,
    /// The Google case's name: what somebody typed or cloned.
    pub(crate) google_name: Option<String>,
}

impl NewCompanyCase {
    /// A case of priority P2, without the flag.
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            description: format!("About: {title}"),
            priority: Priority::P2,
            flagged: false,
            google_name: None,
        }
    }

    /// The same with the flag on.
    pub(crate) fn flagged(title: &str) -> Self {
        Self { flagged: true, ..Self::new(title) }
    }
}

/// A case as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaseView {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) priority: PriorityReading,
    /// The CRM's own word for the state.
    pub(crate) state: String,
    pub(crate) closed: bool,
    pub(crate) flagged: bool,
    pub(crate) google_name: Option<String>,
    /// Oldest first; without the description, and without those that only bring a file.
    pub(crate) comments: Vec<CommentView>,
    /// Oldest first.
    pub(crate) files: Vec<FileView>,
}

impl CaseView {
    /// The comments' texts, oldest first.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.comments.iter().map(|comment| comment.text.clone()).collect()
    }

    /// The file of that name.
    pub(crate) fn file(&self, name: &str) -> &FileView {
        let found = self.files.iter().find(|file| file.name == name);
        found.unwrap_or_else(|| panic!("there is no file {name}: {self:#?}"))
    }

    /// The files that the connector brought.
    pub(crate) fn copied_files(&self) -> Vec<&FileView> {
        self.files.iter().filter(|file| file.by_connector).collect()
    }

    /// Whether the priority can be this one.
    pub(crate) fn has_priority(&self, priority: Priority) -> bool {
        match &self.priority {
            PriorityReading::Known(set) => set.contains(priority),
            PriorityReading::Unknown(_) | PriorityReading::Unset => false,
        }
    }
}

/// A comment as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommentView {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) visibility: Visibility,
    pub(crate) by_connector: bool,
}

/// A file as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileView {
    pub(crate) id: String,
    pub(crate) name: String,
    /// That of the comment that it hangs on, if it does.
    pub(crate) visibility: Visibility,
    pub(crate) by_connector: bool,
}
