//! Object stores: where a run can live besides the local disk, at URLs such as `s3://bucket/runs/digits`.
//!
//! A path is a URL when it begins with a scheme and `://`; every other path is of the local disk. What the rest of the
//! crate asks of a store is [`Store`], and that is little: objects appear whole or not at all, one is created only
//! where none is, replaced only where nobody has changed it, and read in ranges. With the feature `object-store` the
//! stores of Amazon, Google and Microsoft, and all that speak like them, are there under `s3://`, `gs://` and `az://`;
//! any other can be [registered](register) under a URL of its own.
//!
//! All calls block. Whatever runs beside them stays within a store.

#[cfg(feature = "object-store")]
mod cloud;
mod guarded;
mod memory;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) use guarded::{Guarded, MayWrite};
pub use memory::Memory;
pub use reader::Reader;

use crate::{regular, remedy};

/// What this crate asks of an object store. Paths are URLs in full; every error is the store's, after its retries.
pub trait Store: Send + Sync {
    /// All objects whose path begins with `folder` and a slash, in the order of their paths.
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>>;
    /// The size of an object; `None` where there is none.
    fn size(&self, object: &Path) -> io::Result<Option<u64>>;
    /// Just these bytes of an object; `NotFound` where there is none, `UnexpectedEof` where it is shorter.
    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>>;
    /// A small object whole, with its version; `None` where there is none, `InvalidData` where it has more than `limit`
    /// bytes, of which then none is read.
    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>>;
    /// Makes an object where there is none; `AlreadyExists` where there is one.
    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version>;
    /// Replaces an object that still has this version; `AlreadyExists` where it has another one, or is gone.
    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version>;
    /// Writes an object of any size, whatever was there. It is there once it is whole.
    fn upload(&self, object: &Path, content: &mut dyn io::Read, bytes: u64) -> io::Result<()>;
    /// Removes an object; one that is not there is no error.
    fn remove(&self, object: &Path) -> io::Result<()>;
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its URL.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// What tells the content of an object from what was there before, in the words of its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The entity tag of HTTP.
    pub e_tag: Option<String>,
    /// A number of its own, which some stores count.
    pub generation: Option<String>,
}

/// The stores that this process has connected to, by scheme and bucket. A connection is shared by all who ask.
static KNOWN: Mutex<BTreeMap<String, Arc<dyn Store>>> = Mutex::new(BTreeMap::new());

/// Whether a path is a URL.
pub fn is_url(path: &Path) -> bool {
    base(path).is_some()
}

/// The store of a URL, connected to; `None` for a path of the local disk. Nothing is asked of the store yet.
///
/// # Errors
/// When the scheme is not known, this build has no object stores, or what the environment says of them makes no sense.
pub fn at(path: &Path) -> io::Result<Option<Arc<dyn Store>>> {
    let Some(base) = base(path) else { return Ok(None) };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = known.get(base) {
        return Ok(Some(Arc::clone(store)));
    }
    let store = connect(base)?;
    known.insert(base.to_owned(), Arc::clone(&store));
    Ok(Some(store))
}

/// Makes `store` the one of all URLs that begin with `base`, a scheme and a bucket such as `dav://archive`.
pub fn register(base: &str, store: Arc<dyn Store>) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(base.to_owned(), store);
}

/// What a person can do about an error of a store.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; check the credentials in the environment and what they may do there",
        io::ErrorKind::NotFound => "; check that the bucket is there",
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::ResourceBusy => "",
        _ => "; check that the store can be reached and has room",
    }
}

/// The text of a file of the local disk or an object.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    if !is_url(path) {
        return regular::read_to_string(path);
    }
    String::from_utf8(read_file(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The content of a file of the local disk or an object.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    /// An object of more bytes is no configuration.
    const LIMIT: u64 = 16 << 20;
    let Some(store) = at(path)? else { return regular::read(path) };
    let fetched = store.fetch(path, LIMIT)?;
    Ok(fetched.ok_or(io::ErrorKind::NotFound)?.0)
}

/// Whether there is a file of the local disk or an object.
///
/// # Errors
/// When the store does not answer, or the system does not say.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    match at(path)? {
        Some(store) => Ok(store.size(path)?.is_some()),
        None => match std::fs::metadata(path) {
            Err(error) if remedy::is_absence(&error) => Ok(false),
            found => Ok(found?.is_file()),
        },
    }
}

/// Writes the content of an object to another one, through this process, which keeps little of it in memory.
pub(crate) fn copy(store: &Arc<dyn Store>, from: &Object, to: &Path) -> io::Result<()> {
    let mut content = Reader::whole(Arc::clone(store), from.path.clone(), from.bytes);
    store.upload(to, &mut content, from.bytes)
}

/// Scheme and bucket of a URL: `s3://bucket` of `s3://bucket/run`.
fn base(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bucket = rest.split('/').next().unwrap_or_default();
    is_scheme.then(|| &text[..scheme.len() + "://".len() + bucket.len()])
}

#[cfg(feature = "object-store")]
fn connect(base: &str) -> io::Result<Arc<dyn Store>> {
    cloud::connect(base)
}

#[cfg(not(feature = "object-store"))]
fn connect(_: &str) -> io::Result<Arc<dyn Store>> {
    let message = "this program was built without object stores; build it with `--features object-store`";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_and_a_bucket_and_stays_one_when_it_is_joined() {
        let url = Path::new("s3://bucket/run");
        assert_eq!(base(url), Some("s3://bucket"));
        assert_eq!(base(&url.join("checkpoints")), Some("s3://bucket"));
        assert_eq!(url.join("checkpoints").display().to_string(), "s3://bucket/run/checkpoints");
        assert_eq!(base(url.parent().unwrap()), Some("s3://bucket"));
        for local in ["run", "./s3:/bucket", "/data/s3://x/y", "C:/run", "://x", "S3://x", "runs/a://b"] {
            assert!(!is_url(Path::new(local)), "{local}");
        }
    }
}
