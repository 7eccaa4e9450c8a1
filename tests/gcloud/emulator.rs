//! Google's emulators, as processes of our own.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use casebridge::store::DEFAULT_DATABASE;
use casebridge_testkit::service::free_port;
use serde_json::json;

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Firestore in Native mode.
    FirestoreNative,
    /// Firestore in Datastore mode.
    FirestoreDatastoreMode,
    /// The older emulator, of Datastore alone.
    Datastore,
    /// Pub/Sub.
    Pubsub,
}

impl Kind {
    fn class_path(self) -> PathBuf {
        let root = sdk_root();
        match self {
            Self::FirestoreNative | Self::FirestoreDatastoreMode => {
                root.join("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
            }
            Self::Datastore => root.join("platform/cloud-datastore-emulator/CloudDatastore.jar"),
            // Its name holds its version.
            Self::Pubsub => {
                let folder = root.join("platform/pubsub-emulator/lib");
                let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
                let is_jar = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "jar");
                files
                    .map(|file| file.path())
                    .find(is_jar)
                    .unwrap_or_else(|| folder.join("cloud-pubsub-emulator.jar"))
            }
        }
    }

    /// As `gcloud components install` calls it.
    fn component(self) -> &'static str {
        match self {
            Self::FirestoreNative | Self::FirestoreDatastoreMode => "cloud-firestore-emulator",
            Self::Datastore => "cloud-datastore-emulator",
            Self::Pubsub => "pubsub-emulator",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        const FIRESTORE: &str = "com.google.cloud.datastore.emulator.firestore.CloudFirestore";
        match self {
            Self::FirestoreNative => &[FIRESTORE, "start", "--database-mode=firestore-native"],
            Self::FirestoreDatastoreMode => &[FIRESTORE, "start", "--database-mode=datastore-mode"],
            Self::Datastore => &[
                "com.google.cloud.datastore.emulator.CloudDatastore",
                "start",
                "--store_on_disk=false",
                "--consistency=1.0",
                "--testing",
            ],
            Self::Pubsub => &["com.google.cloud.pubsub.testing.v1.Main"],
        }
    }
}

/// A running emulator. It ends when this is dropped, and with this process however that ends.
pub(crate) struct Emulator {
    process: Child,
    port: u16,
    kind: Kind,
}

impl Emulator {
    /// Starts one on a free port.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_on(kind, free_port())
    }

    /// Starts one on that port.
    pub(crate) fn start_on(kind: Kind, port: u16) -> Self {
        Self::start_with(kind, port, None)
    }

    /// Starts one on that port with what an [`Emulator::export`] has kept.
    pub(crate) fn start_from(kind: Kind, port: u16, export: &Path) -> Self {
        Self::start_with(kind, port, Some(export))
    }

    fn start_with(kind: Kind, port: u16, export: Option<&Path>) -> Self {
        require_java();
        let jar = kind.class_path();
        assert!(
            jar.is_file(),
            "{} is missing: `gcloud components install {}`, or apt-get install google-cloud-cli-{}",
            jar.display(),
            kind.component(),
            kind.component().trim_start_matches("cloud-")
        );
        let mut log = tempfile::tempfile().unwrap();
        // The shell waits for the end of its input, which it shares with nobody: the pipe closes when this process ends,
        // even by a signal, and then it takes Java with it.
        let mut process = Command::new("sh")
            .args(["-c", "\"$@\" < /dev/null & java=$!; cat > /dev/null; kill -9 $java", "sh", "java"])
            .args(["-Duser.language=en", "-Xmx512m"])
            // They live for minutes: the second compiler takes more time than its code saves.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
            .arg(&jar)
            .args(kind.arguments())
            .args(["--host=127.0.0.1".to_owned(), format!("--port={port}")])
            .args(export.map(|file| format!("--seed_from_export={}", file.display())))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !answers(port) {
            if begun.elapsed() > Duration::from_mins(10) {
                drop(process.stdin.take());
                panic!("{kind:?} did not start on port {port}:\n{}", read(&mut log));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { process, port, kind }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Keeps what that project's default database holds in a file of this folder, for [`Emulator::start_from`]: an emulator has
    /// it in its memory alone. Not the older one. Documents come back with another update time.
    pub(crate) async fn export(&self, project: &str, folder: &Path) -> PathBuf {
        let url = format!("http://{}/emulator/v1/projects/{project}:export", self.host());
        // Datastore's own name for the default database is empty.
        let database = if self.kind == Kind::FirestoreNative { DEFAULT_DATABASE } else { "" };
        let body = json!({
            "database": format!("projects/{project}/databases/{database}"),
            "export_directory": folder,
            "export_name": project,
        });
        let answer = crate::http().post(url).bearer_auth("owner").json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        folder.join(project).join(format!("{project}.overall_export_metadata"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn read(log: &mut File) -> String {
    let mut text = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut text)).unwrap();
    text
}

/// Whether something speaks HTTP there. An open port alone is not enough: Java opens it before it is ready.
fn answers(port: u16) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut answer = [0; 12];
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

fn require_java() {
    static CHECKED: OnceLock<()> = OnceLock::new();
    CHECKED.get_or_init(|| {
        let java = Command::new("java").arg("-version").output();
        assert!(
            java.is_ok_and(|output| output.status.success()),
            "`java -version` failed: these tests need Java 11 or newer on the PATH"
        );
    });
}

/// The root of the Cloud SDK.
pub(crate) fn sdk_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let gcloud = Command::new("gcloud")
            .args(["info", "--format=value(installation.sdk_root)"])
            .output()
            .unwrap_or_else(|error| {
                panic!(
                    "gcloud cannot be started ({error}): these tests need the Google Cloud SDK on the PATH"
                )
            });
        let root = PathBuf::from(String::from_utf8_lossy(&gcloud.stdout).trim());
        assert!(
            gcloud.status.success() && root.is_dir(),
            "`gcloud info` does not say where the SDK is: {}",
            String::from_utf8_lossy(&gcloud.stderr)
        );
        root
    })
}

/// The emulator of that kind which all tests share.
pub(crate) fn shared(kind: Kind) -> &'static Emulator {
    static NATIVE: OnceLock<Emulator> = OnceLock::new();
    static DATASTORE_MODE: OnceLock<Emulator> = OnceLock::new();
    static DATASTORE: OnceLock<Emulator> = OnceLock::new();
    static PUBSUB: OnceLock<Emulator> = OnceLock::new();
    let emulator = match kind {
        Kind::FirestoreNative => &NATIVE,
        Kind::FirestoreDatastoreMode => &DATASTORE_MODE,
        Kind::Datastore => &DATASTORE,
        Kind::Pubsub => &PUBSUB,
    };
    emulator.get_or_init(|| Emulator::start(kind))
}

/// A project of its own: an emulator keeps them apart.
pub(crate) fn new_project() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    format!("demo-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
