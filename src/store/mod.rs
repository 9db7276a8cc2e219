//! Object stores: runs can be stored at URLs such as `s3://bucket/runs/digits` instead of the local disk.
//!
//! A path is a URL if it begins with a scheme and `://`; every other path is on the local disk. The crate needs only
//! the few operations of [`Store`]: objects appear whole or not at all, are created only if absent, are replaced only
//! if unchanged, and are read in ranges. With the feature `object-store`, the stores of Amazon, Google and Microsoft,
//! and compatible ones, are available under `s3://`, `gs://` and `az://`; other stores can be [registered](register)
//! under their own URLs.
//!
//! All calls block. Concurrency stays inside a store.

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

/// The operations that this crate needs of an object store. Paths are full URLs; errors are returned after the store's
/// retries.
pub trait Store: Send + Sync {
    /// Lists all objects whose path begins with `folder` and a slash, in the order of their paths.
    fn list(&self, folder: &Path) -> io::Result<Vec<Object>>;
    /// Returns the size of an object in bytes; `None` if it does not exist.
    fn size(&self, object: &Path) -> io::Result<Option<u64>>;
    /// Reads exactly these bytes of an object; `NotFound` if it does not exist, `UnexpectedEof` if it is shorter.
    fn read(&self, object: &Path, range: Range<u64>) -> io::Result<Vec<u8>>;
    /// Reads bytes like [`Store::read`], and says which version of the object they are from; no version if the store has
    /// none.
    fn read_current(&self, object: &Path, range: Range<u64>) -> io::Result<(Vec<u8>, Version)> {
        Ok((self.read(object, range)?, Version::default()))
    }
    /// Reads a small object with its version; `None` if it does not exist, `InvalidData` without reading if it has more
    /// than `limit` bytes.
    fn fetch(&self, object: &Path, limit: u64) -> io::Result<Option<(Vec<u8>, Version)>>;
    /// Creates an object; `AlreadyExists` if it exists.
    fn create(&self, object: &Path, content: &[u8]) -> io::Result<Version>;
    /// Replaces an object that still has this version; `AlreadyExists` if it has another one or does not exist.
    fn replace(&self, object: &Path, content: &[u8], version: &Version) -> io::Result<Version>;
    /// Writes an object of any size, and replaces an existing one. It appears when it is complete.
    fn upload(&self, object: &Path, content: &mut dyn io::Read, bytes: u64) -> io::Result<()>;
    /// Removes an object; a missing one is not an error.
    fn remove(&self, object: &Path) -> io::Result<()>;
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its URL.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Version of an object's content, as reported by its store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The entity tag of HTTP.
    pub e_tag: Option<String>,
    /// The generation number, in stores that have one.
    pub generation: Option<String>,
}

/// The connected stores of this process, by scheme and bucket. A connection is shared by all callers.
static KNOWN: Mutex<BTreeMap<String, Arc<dyn Store>>> = Mutex::new(BTreeMap::new());

/// Whether a path is a URL.
pub fn is_url(path: &Path) -> bool {
    base(path).is_some()
}

/// Returns the URL that was probably meant by a local path: `s3://bucket/run` by `s3:/bucket/run`.
pub fn meant_url(path: &Path) -> Option<String> {
    let (scheme, rest) = path.to_str()?.split_once(":/")?;
    let url = format!("{scheme}://{rest}");
    (!rest.is_empty() && !rest.starts_with('/') && is_url(Path::new(&url))).then_some(url)
}

/// Returns the store of a URL, connected; `None` for a path of the local disk. No request is sent yet.
///
/// # Errors
/// The scheme is unknown, this build has no object stores, or the environment's settings for them are invalid.
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

/// Registers `store` for all URLs that begin with `base`, a scheme and a bucket such as `dav://archive`.
pub fn register(base: &str, store: Arc<dyn Store>) {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner).insert(base.to_owned(), store);
}

/// Returns the remedy for an error of a store.
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; check the credentials in the environment and what they may do there",
        io::ErrorKind::NotFound => "; check that the bucket is there",
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput | io::ErrorKind::ResourceBusy => "",
        _ => "; check that the store can be reached and has room",
    }
}

/// Reads the text of a local file or an object.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    if !is_url(path) {
        return regular::read_to_string(path);
    }
    String::from_utf8(read_file(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the content of a local file or an object.
pub(crate) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    /// A configuration has at most this number of bytes.
    const LIMIT: u64 = 16 << 20;
    let Some(store) = at(path)? else { return regular::read(path) };
    let fetched = store.fetch(path, LIMIT)?;
    Ok(fetched.ok_or(io::ErrorKind::NotFound)?.0)
}

/// Whether a local file or an object exists.
///
/// # Errors
/// The store does not answer, or the system reports an error.
pub(crate) fn is_file(path: &Path) -> io::Result<bool> {
    match at(path)? {
        Some(store) => Ok(store.size(path)?.is_some()),
        None => match std::fs::metadata(path) {
            Err(error) if remedy::is_absence(&error) => Ok(false),
            found => Ok(found?.is_file()),
        },
    }
}

/// Copies an object to another one through this process, with little memory.
pub(crate) fn copy(store: &Arc<dyn Store>, from: &Object, to: &Path) -> io::Result<()> {
    let mut content = Reader::whole(Arc::clone(store), from.path.clone(), from.bytes);
    store.upload(to, &mut content, from.bytes)
}

/// Returns scheme and bucket of a URL: `s3://bucket` of `s3://bucket/run`.
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

    #[test]
    fn a_url_with_one_slash_is_probably_meant_as_one() {
        let meant = |path: &str| meant_url(Path::new(path));
        assert_eq!(meant("s3:/bucket/run").as_deref(), Some("s3://bucket/run"));
        for other in ["s3://bucket/run", "./s3:/bucket", "C:/run", "s3:", "s3:/", "runs/a:/b", "runs/a"] {
            assert_eq!(meant(other), None, "{other}");
        }
    }
}
