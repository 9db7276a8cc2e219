//! Stores of Amazon, Google and Microsoft, by the crate `object_store`.
//!
//! Its calls are asynchronous. They run on two separate threads, and the caller waits for the result.

use std::collections::VecDeque;
use std::env;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, Error, GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    PutResult, RetryConfig, UpdateVersion,
};
use tokio::runtime::{Builder, Runtime};

use super::{Object, Store, Version};

/// Minimal size in bytes of a part of an upload; a smaller object is uploaded in one request.
const PART: u64 = 8 << 20;

/// The stores accept at most this number of parts.
const MOST_PARTS: u64 = 10_000;

/// Number of parts in flight; each is a copy in memory.
const PARTS_AHEAD: usize = 4;

/// Seconds during which a request is retried, by default.
const PATIENCE: f64 = 60.0;

/// Upper limit of the retry time in seconds: a week.
const LONGEST: f64 = 604_800.0;

/// Time allowed for a last attempt beyond the retry time.
const LAST_ATTEMPT: Duration = Duration::from_secs(35);

/// Connects to `base`, a scheme and a bucket, with the settings of the environment.
pub(super) fn connect(base: &str) -> io::Result<Arc<dyn Store>> {
    // Fails if the program has already chosen a provider, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let patience = patience()?;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: usize::MAX,
        retry_timeout: patience,
    };
    let store: Arc<dyn ObjectStore> = match base.split("://").next() {
        Some("s3") => Arc::new(AmazonS3Builder::from_env().with_url(base).with_retry(retry).build().map_err(plain)?),
        Some("gs") => {
            Arc::new(GoogleCloudStorageBuilder::from_env().with_url(base).with_retry(retry).build().map_err(plain)?)
        }
        Some("az") => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(base).with_retry(retry).build().map_err(plain)?)
        }
        _ => {
            let message = "this kind of URL is not known; known are s3://, gs:// and az://";
            return Err(io::Error::new(ErrorKind::Unsupported, message));
        }
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("object-store").enable_all().build()?;
    Ok(Arc::new(Cloud { base: base.to_owned(), store, runtime, patience }))
}

/// Returns the retry time of failing requests: `REKINDLE_STORE_TIMEOUT`, in seconds.
fn patience() -> io::Result<Duration> {
    const VARIABLE: &str = "REKINDLE_STORE_TIMEOUT";
    let Ok(text) = env::var(VARIABLE) else { return Ok(Duration::from_secs_f64(PATIENCE)) };
    match text.parse() {
        Ok(seconds) if (0.0..=LONGEST).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => {
            let rule = format!("{VARIABLE} is `{text}`, and must be a number of seconds from 0 to {LONGEST}");
            Err(io::Error::new(ErrorKind::InvalidInput, rule))
        }
    }
}

struct Cloud {
    base: String,
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    patience: Duration,
}

/// A call without an answer yet.
struct Pending<T>(Receiver<io::Result<T>>);

impl<T> Pending<T> {
    fn wait(self) -> io::Result<T> {
        let died = |_| io::Error::other("the thread that talks to the store has failed; please report this");
        self.0.recv().map_err(died)?
    }
}

impl Cloud {
    /// Starts a call with a time limit, which also ends it if the store never answers.
    fn begin<T: Send + 'static>(
        &self,
        call: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Pending<T> {
        let (answer, pending) = mpsc::channel();
        let limit = self.patience + LAST_ATTEMPT;
        self.runtime.spawn(async move {
            let answered = match tokio::time::timeout(limit, call).await {
                Ok(result) => result.map_err(plain),
                Err(_) => Err(io::Error::new(ErrorKind::TimedOut, format!("no answer in {} s", limit.as_secs()))),
            };
            // The receiver is gone if an earlier part failed.
            drop(answer.send(answered));
        });
        Pending(pending)
    }

    fn call<T, F>(&self, call: impl FnOnce(Arc<dyn ObjectStore>) -> F) -> io::Result<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.begin(call(Arc::clone(&self.store))).wait()
    }

    /// Returns the name of an object within the bucket.
    fn key(&self, path: &Path) -> io::Result<Key> {
        let invalid = |reason: String| io::Error::new(ErrorKind::InvalidInput, reason);
        let inside = path.to_str().and_then(|text| text.strip_prefix(&self.base));
        let inside = inside.ok_or_else(|| invalid(format!("it is not in {}", self.base)))?;
        Key::parse(inside.trim_matches('/')).map_err(|error| invalid(error.to_string()))
    }

    fn put(&self, object: &Path, content: &[u8], mode: PutMode) -> io::Result<Version> {
        let (key, payload) = (self.key(object)?, PutPayload::from(content.to_vec()));
        let options = PutOptions { mode, ..PutOptions::default() };
        self.call(move |store| async move { store.put_opts(&key, payload, options).await }).map(version)
    }

    /// Handles the result of a conditional put whose answer may have been lost: if the object has our content, the put
    /// succeeded.
    fn put_if(&self, object: &Path, content: &[u8], mode: PutMode) -> io::Result<Version> {
        let error = match self.put(object, content, mode) {
            Ok(version) => return Ok(version),
            Err(error) => error,
        };
        match self.fetch(object, content.len() as u64) {
            Ok(Some((found, version))) if found == content => Ok(version),
            _ => Err(error),
        }
    }

    fn send_parts(&self, upload: &mut dyn MultipartUpload, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        let part = PART.max(bytes.div_ceil(MOST_PARTS).next_multiple_of(1 << 20));
        let (mut left, mut in_flight) = (bytes, VecDeque::new());
        while left > 0 {
            let length = part.min(left);
            if in_flight.len() == PARTS_AHEAD {
                in_flight.pop_front().map_or(Ok(()), Pending::wait)?;
            }
            in_flight.push_back(self.begin(upload.put_part(exactly(content, length)?.into())));
            left -= length;
        }
        in_flight.into_iter().try_for_each(Pending::wait)
    }
}

impl Store for Cloud {
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>> {
        let key = self.key(folder)?;
        let found = self.call(move |store| async move { store.list(Some(&key)).try_collect::<Vec<_>>().await })?;
        let object = |meta: object_store::ObjectMeta| Object {
            path: Path::new(&format!("{}/{}", self.base, meta.location)).to_owned(),
            bytes: meta.size,
        };
        let mut objects: Vec<Object> = found.into_iter().map(object).collect();
        objects.sort();
        Ok(objects)
    }

    fn size(&self, object: &Path) -> io::Result<Option<u64>> {
        let key = self.key(object)?;
        match self.call(move |store| async move { store.head(&key).await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            found => Ok(Some(found?.size)),
        }
    }

    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.read_current(object, range).map(|(content, _)| content)
    }

    fn read_current(&self, object: &Path, range: Range<u64>) -> io::Result<(Vec<u8>, Version)> {
        let (key, wanted) = (self.key(object)?, range.end - range.start);
        let (content, version) = self.call(move |store| async move {
            let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
            let found = store.get_opts(&key, options).await?;
            let version = Version { e_tag: found.meta.e_tag.clone(), generation: found.meta.version.clone() };
            Ok((found.bytes().await?, version))
        })?;
        if content.len() as u64 == wanted {
            Ok((content.into(), version))
        } else {
            Err(ErrorKind::UnexpectedEof.into())
        }
    }

    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>> {
        let key = self.key(object)?;
        let found = self.call(move |store| async move {
            let found = match store.get_opts(&key, GetOptions::default()).await {
                Err(Error::NotFound { .. }) => return Ok(None),
                found => found?,
            };
            let version = Version { e_tag: found.meta.e_tag.clone(), generation: found.meta.version.clone() };
            let content = if found.meta.size > limit { None } else { Some(found.bytes().await?) };
            Ok(Some((content, version)))
        })?;
        let too_large = || io::Error::new(ErrorKind::InvalidData, format!("it has more than {limit} bytes"));
        found.map(|(content, version)| Ok((content.ok_or_else(too_large)?.into(), version))).transpose()
    }

    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version> {
        self.put_if(object, content, PutMode::Create)
    }

    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version> {
        let Version { e_tag, generation } = version.clone();
        self.put_if(object, content, PutMode::Update(UpdateVersion { e_tag, version: generation }))
    }

    fn upload(&self, object: &Path, content: &mut dyn Read, bytes: u64) -> io::Result<()> {
        if bytes <= PART {
            return self.put(object, &exactly(content, bytes)?, PutMode::Overwrite).map(drop);
        }
        let key = self.key(object)?;
        let mut upload = self.call(move |store| async move { store.put_multipart(&key).await })?;
        match self.send_parts(&mut *upload, content, bytes) {
            Ok(()) => self.begin(async move { upload.complete().await }).wait().map(drop),
            Err(error) => {
                // Parts of an incomplete upload cost money. If the store is out of reach, they stay.
                drop(self.begin(async move { upload.abort().await }).wait());
                Err(error)
            }
        }
    }

    fn remove(&self, object: &Path) -> io::Result<()> {
        let key = self.key(object)?;
        match self.call(move |store| async move { store.delete(&key).await }) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn version(put: PutResult) -> Version {
    Version { e_tag: put.e_tag, generation: put.version }
}

fn exactly(content: &mut dyn Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    content.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// S3's error codes for a wrong key or missing permission.
const REFUSALS: [&str; 3] = ["SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"];

/// Shortens an error to the store's message or the root cause. Other details, such as the signed address of the
/// request, are left out.
fn plain(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::PermissionDenied,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => ErrorKind::Unsupported,
        // A refused listing is a generic error with the server's code in it.
        other if REFUSALS.iter().any(|refusal| other.to_string().contains(refusal)) => ErrorKind::PermissionDenied,
        _ => ErrorKind::Other,
    };
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let said = element(&text, "Code").map(|code| match element(&text, "Message") {
        Some(message) => format!("{message} ({code})"),
        None => code.to_owned(),
    });
    io::Error::new(kind, said.unwrap_or_else(|| text.split('?').next().unwrap_or_default().trim().to_owned()))
}

/// Returns the text of an element in an XML answer.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text.trim())
}
