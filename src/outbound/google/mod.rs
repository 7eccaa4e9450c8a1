//! Credentials for Google Cloud, from wherever the environment offers them.
//!
//! | source, in the order of the search | tokens requested by |
//! | --- | --- |
//! | file that `GOOGLE_APPLICATION_CREDENTIALS` names | [`GoogleFile`] |
//! | `~/.config/gcloud/application_default_credentials.json` | [`GoogleFile`] |
//! | metadata server, then the command `gcloud` | [`GoogleCredentials`], with `gcp_auth` |
//!
//! `gcp_auth` knows no proxy. Neither of its two sources needs one: the metadata server is on the machine's own link, and `gcloud` reads the
//! proxy from the environment itself. All others of its sources are left alone.

mod exchange;
mod file;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::credentials::{Credentials, FindProvider, GoogleCredentials};

pub use file::GoogleFile;

/// Environment variable with the path of a credentials file.
const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
/// Place of gcloud's application default credentials, in the home directory ("How Application Default Credentials works",
/// cloud.google.com/docs/authentication).
const WELL_KNOWN: &str = ".config/gcloud/application_default_credentials.json";
/// Time limit of the search for a metadata server. A firewall may leave its address without an answer.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Finds the credentials for Google Cloud. `variable` returns an environment variable. A file is read and checked; no token is requested
/// for it yet. The error text says what was looked for, and what to do.
pub async fn find_google(
    variable: impl Fn(&str) -> Option<OsString> + Send,
) -> Result<Arc<dyn Credentials>, String> {
    if let Some(path) = variable(VARIABLE).filter(|path| !path.is_empty()) {
        let file = GoogleFile::open(PathBuf::from(path)).await;
        return Ok(Arc::new(file.map_err(|error| format!("{VARIABLE}: {error}"))?));
    }
    let home = variable("HOME").filter(|home| !home.is_empty());
    if let Some(path) = home.map(|home| PathBuf::from(home).join(WELL_KNOWN))
        && tokio::fs::try_exists(&path).await.unwrap_or(false)
    {
        return Ok(Arc::new(GoogleFile::open(path).await?));
    }
    let find: FindProvider = Box::new(|| Box::pin(without_a_file()));
    let provider = find().await.map_err(|error| {
        format!(
            "no credentials for Google Cloud were found: {VARIABLE} is not set, ~/{WELL_KNOWN} does not exist, {error}; on a workstation \
             run `gcloud auth application-default login`, on Google Cloud attach a service account, elsewhere give {VARIABLE} a file \
             (docs/networks.md), or set google.auth = \"none\" for a sandbox"
        )
    })?;
    Ok(Arc::new(GoogleCredentials::new(provider).found_again(find)))
}

/// Finds a source of tokens that needs no file.
async fn without_a_file() -> Result<Arc<dyn gcp_auth::TokenProvider>, String> {
    super::install_tls();
    let metadata = tokio::time::timeout(METADATA_TIMEOUT, gcp_auth::MetadataServiceAccount::new()).await;
    let metadata = match metadata {
        Ok(Ok(provider)) => return Ok(Arc::new(provider)),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "timed out".to_owned(),
    };
    match gcp_auth::GCloudAuthorizedUser::new().await {
        Ok(provider) => Ok(Arc::new(provider)),
        Err(gcloud) => Err(format!("no metadata server ({metadata}), no gcloud ({gcloud})")),
    }
}
