//! References to cases as people type them: a `sys_id`, a number, or an address from a browser (`R31`: an ID is valid only in its own
//! system).
//!
//! Sources: "Navigate to a record or module using a URL" and its examples, product documentation (`nav_to.do?uri=`, `incident.do?sys_id=`,
//! `incident.do?sysparm_query=number=`); the addresses of the workspaces, `…/record/incident/SYS_ID`, as its page on links in emails has
//! them; those of *Next Experience*, `now/nav/ui/classic/params/target/…`, and of portals, `…?table=incident&sys_id=…`, as instances show
//! them.

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::wire::is_sys_id;
use crate::crm::reference::path_within;

/// Maximum number of addresses that are nested in one another by encoding: `target/incident.do%3Fsys_id%3D…`, and that in a link of a mail.
const DEEPEST: usize = 4;
/// Maximum length of a number, in characters: the length of `task.number`.
const LONGEST_NUMBER: usize = 40;

/// A reference to a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reference {
    /// `sys_id` in lower case, as ServiceNow writes it.
    Id(String),
    /// Number in upper case, as its prefix is written.
    Number(String),
}

/// Returns the address of a record: "Opens the incident record with the sys_id" (Examples of navigating by URL, product documentation).
pub(super) fn of(home: &str, table: &str, id: &str) -> String {
    format!("{home}/{table}.do?sys_id={id}")
}

impl Reference {
    /// Parses a reference to a record of `table` on the instance at `home`. The error says what is wrong.
    pub(super) fn read(text: &str, home: &str, table: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(record) = Self::bare(text) {
            return Ok(record);
        }
        if !text.contains("://") {
            return Err("it is neither a sys_id, nor a number like INC0010001, nor an address".to_owned());
        }
        let address = Url::parse(text).map_err(|_| "it is no address".to_owned())?;
        let ours = Url::parse(home).map_err(|_| "company.base_url is no address".to_owned())?;
        path_within(&address, &ours)?;
        // Decodes nested addresses one by one.
        let mut within = text.to_owned();
        for _ in 0..DEEPEST {
            let found = in_address(&within);
            if let Some((found, record)) = found {
                return if found == table || found == "task" {
                    Ok(record)
                } else {
                    Err(format!(
                        "it is an address of the table {found}, and company.servicenow.table is {table}"
                    ))
                };
            }
            let decoded = percent_decode_str(&within).decode_utf8_lossy().into_owned();
            if decoded == within {
                break;
            }
            within = decoded;
        }
        Err(format!("it is no address of a record: copy that of a form, {home}/{table}.do?sys_id=…"))
    }

    /// Parses a text that is only a `sys_id` or a number.
    fn bare(text: &str) -> Option<Self> {
        if is_sys_id(text) {
            return Some(Self::Id(text.to_ascii_lowercase()));
        }
        let is_number = (1..=LONGEST_NUMBER).contains(&text.len())
            && text.bytes().any(|byte| byte.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        is_number.then(|| Self::Number(text.to_ascii_uppercase()))
    }
}

/// Returns the table and the record that an address names.
fn in_address(text: &str) -> Option<(String, Reference)> {
    let parts: Vec<&str> = text.split(['/', '?', '&', '=', '#', '^']).collect();
    let value = |name: &str| parts.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
    // `…/record/incident/SYS_ID`, `…/table/incident/SYS_ID`
    let by_path = parts.windows(3).find_map(|three| {
        let record = Reference::bare(three[2]).filter(|record| matches!(record, Reference::Id(_)))?;
        matches!(three[0], "record" | "table").then(|| (three[1].to_owned(), record))
    });
    by_path.or_else(|| {
        // `…/incident.do?…`, `…?table=incident&…`
        let form = parts.iter().filter_map(|part| part.strip_suffix(".do")).find(|page| *page != "nav_to");
        let table = form.or_else(|| value("table"))?;
        let by_id = value("sys_id").filter(|id| is_sys_id(id)).and_then(Reference::bare);
        let record = by_id.or_else(|| value("number").and_then(Reference::bare))?;
        Some((table.to_owned(), record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "https://dev1.service-now.com";
    const ID: &str = "966c9a414f5593001f6eac118110c75c";

    fn read(text: &str) -> Result<Reference, String> {
        Reference::read(text, HOME, "incident")
    }

    #[test]
    fn an_id_a_number_and_every_address_of_a_record_name_it() {
        let id = Reference::Id(ID.to_owned());
        for text in [
            ID.to_owned(),
            format!(" {} ", ID.to_uppercase()),
            of(HOME, "incident", ID),
            format!("{HOME}/incident.do?sysparm_view=ess&sys_id={ID}&sysparm_record_row=1"),
            format!("{HOME}/nav_to.do?uri=incident.do?sys_id={ID}"),
            format!("{HOME}/nav_to.do?uri=%2Fincident.do%3Fsys_id%3D{ID}%26sysparm_view%3D"),
            format!("{HOME}/now/nav/ui/classic/params/target/incident.do%3Fsys_id%3D{ID}%26sysparm_stack%3D"),
            format!("{HOME}/now/nav/ui/classic/params/target/task.do%3Fsys_id%3D{ID}"),
            format!("{HOME}/now/sow/record/incident/{ID}/params/selected-tab-index/1"),
            format!("{HOME}/now/workspace/agent/record/incident/{ID}"),
            format!("{HOME}/sp?id=ticket&table=incident&sys_id={ID}"),
            format!("{HOME}/api/now/table/incident/{ID}"),
            format!("https://DEV1.service-now.com:443/incident.do?sys_id={ID}#activity"),
        ] {
            assert_eq!(read(&text), Ok(id.clone()), "{text}");
        }
        let number = Reference::Number("INC0010001".to_owned());
        for text in [
            "INC0010001".to_owned(),
            "inc0010001".to_owned(),
            format!("{HOME}/incident.do?sysparm_query=number=INC0010001"),
            format!("{HOME}/nav_to.do?uri=%2Fincident.do%3Fsysparm_query%3Dnumber%3DINC0010001"),
        ] {
            assert_eq!(read(&text), Ok(number.clone()), "{text}");
        }
    }

    #[test]
    fn what_names_no_record_of_ours_is_refused_with_the_reason() {
        for (text, why) in [
            (format!("https://dev2.service-now.com/incident.do?sys_id={ID}"), "is of dev2.service-now.com"),
            (format!("{HOME}:8443/incident.do?sys_id={ID}"), "another system"),
            (format!("https://evil.example/?u={HOME}/incident.do?sys_id={ID}"), "is of evil.example"),
            (format!("{HOME}/problem.do?sys_id={ID}"), "the table problem"),
            (format!("{HOME}/now/sow/record/change_request/{ID}"), "the table change_request"),
            (format!("{HOME}/incident_list.do"), "no address of a record"),
            (format!("{HOME}/incident.do?sys_id=-1"), "no address of a record"),
            ("https://".to_owned(), "no address"),
            (String::new(), "neither a sys_id"),
            ("the one with the printer".to_owned(), "neither a sys_id"),
            ("x^NQactive=true".to_owned(), "neither a sys_id"),
        ] {
            let problem = read(&text).unwrap_err();
            assert!(problem.contains(why), "{text}: {problem}");
        }
    }
}
