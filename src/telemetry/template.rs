//! Path of a call without what is in it: IDs of cases and people, names of files and projects, tokens.

/// Words that paths of the upstreams' interfaces consist of. All else in a path is taken for an ID, and a word that is missing here only makes a
/// template less telling.
const WORDS: &[&str] = &[
    "access",
    "account",
    "acknowledge",
    "all",
    "api",
    "attachment",
    "attachments",
    "caseClassifications",
    "cases",
    "close",
    "comment",
    "comments",
    "components",
    "content",
    "correspond",
    "createmeta",
    "cursor",
    "custom_statuses",
    "customfield",
    "download",
    "editmeta",
    "emailMessages",
    "escalate",
    "export",
    "expunge",
    "field",
    "file",
    "history",
    "incident",
    "incremental",
    "issue",
    "issuetypes",
    "locations",
    "mypermissions",
    "myself",
    "now",
    "oauth",
    "organizations",
    "priority",
    "project",
    "projects",
    "properties",
    "pull",
    "queue",
    "queues",
    "remotelink",
    "request",
    "resolution",
    "rest",
    "REST",
    "rt",
    "search",
    "secrets",
    "secure",
    "serverInfo",
    "servicedesk",
    "servicedeskapi",
    "settings",
    "show_many",
    "signing_secret",
    "sn_customerservice_case",
    "status",
    "statuses",
    "subscriptions",
    "supportEventSubscriptions",
    "sys_attachment",
    "sys_choice",
    "sys_dictionary",
    "sys_journal_field",
    "sys_properties",
    "sys_user",
    "table",
    "tags",
    "tasks",
    "ticket",
    "ticket_fields",
    "tickets",
    "topics",
    "transaction",
    "transactions",
    "transitions",
    "triggers",
    "undelete",
    "upload",
    "uploads",
    "user",
    "users",
    "versions",
    "watchers",
    "webhook",
    "webhooks",
];
/// Versions, each only where it stands in one of the interfaces: elsewhere a number is an ID.
const VERSIONS: &[(&str, &str)] = &[
    ("", "v1"),
    ("", "v2"),
    ("", "v2beta"),
    ("upload", "v2"),
    ("api", "2"),
    ("api", "3"),
    ("api", "v2"),
    ("REST", "2.0"),
    ("webhooks", "1.0"),
];
/// Words after which the next part is a person or another name, even if it looks like a word: a user can be named `ticket`.
const NAMED: &[&str] =
    &["user", "users", "queue", "customfield", "project", "projects", "secrets", "uploads"];
/// Parts that stand after one of these, and are no name.
const NOT_NAMED: &[&str] = &["show_many"];
/// Placeholder for an ID.
const ID: &str = "{id}";

/// Returns the template of a path: its words and versions, and `{id}` for each other part.
pub(super) fn template(path: &str) -> String {
    let mut made = String::with_capacity(path.len());
    let mut before = "";
    for part in path.trim_start_matches('/').split('/') {
        made.push('/');
        // `organizations/1/cases/2:close`
        let (name, verb) = part.rsplit_once(':').map_or((part, None), |(name, verb)| (name, Some(verb)));
        let is_name = NAMED.contains(&before) && !NOT_NAMED.contains(&name);
        let is_word = !is_name && (WORDS.contains(&name) || VERSIONS.contains(&(before, name)));
        made.push_str(if is_word { name } else { ID });
        if let Some(verb) = verb.filter(|verb| WORDS.contains(verb)) {
            made.push(':');
            made.push_str(verb);
        }
        before = part;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn a_template_has_the_words_of_a_path_and_nothing_else() {
        for (path, made) in [
            ("/v2/organizations/123/cases/456/comments", "/v2/organizations/{id}/cases/{id}/comments"),
            ("/v2/projects/cases/cases:search", "/v2/projects/{id}/cases:search"),
            ("/v2/organizations/123/cases/456:close", "/v2/organizations/{id}/cases/{id}:close"),
            (
                "/upload/v2/organizations/1/cases/2/attachments",
                "/upload/v2/organizations/{id}/cases/{id}/attachments",
            ),
            ("/rest/api/2/issue/SUP-7/comment", "/rest/api/2/issue/{id}/comment"),
            ("/rest/api/2/issue/2", "/rest/api/2/issue/{id}"),
            ("/secure/attachment/10/Kim%20Lee%20-%20CV.pdf", "/secure/attachment/{id}/{id}"),
            ("/api/v2/tickets/35/comments", "/api/v2/tickets/{id}/comments"),
            ("/api/v2/users/me", "/api/v2/users/{id}"),
            ("/api/v2/users/show_many", "/api/v2/users/show_many"),
            ("/api/v2/uploads/tickets", "/api/v2/uploads/{id}"),
            ("/api/now/table/sn_customerservice_case/0f1e", "/api/now/table/sn_customerservice_case/{id}"),
            ("/REST/2.0/user/root", "/REST/2.0/user/{id}"),
            ("/REST/2.0/user/ticket", "/REST/2.0/user/{id}"),
            ("/REST/2.0/ticket/3/history", "/REST/2.0/ticket/{id}/history"),
            (
                "/v1/projects/p/secrets/search/versions/latest:access",
                "/v1/projects/{id}/secrets/{id}/versions/{id}:access",
            ),
            ("/v1/projects/p/subscriptions/s:pull", "/v1/projects/{id}/subscriptions/{id}:pull"),
            ("/rest/api/2/issue/a:jane@example.com", "/rest/api/2/issue/{id}"),
            ("/", "/{id}"),
            ("", "/{id}"),
        ] {
            assert_eq!(template(path), made, "{path}");
        }
    }
}
